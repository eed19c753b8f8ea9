//! Seals: what opens the root key. A seal only *wraps*: shares split a [`SealKey`], never the root key, so that shares
//! can be replaced without touching what the root key encrypts.
//!
//! Nothing here does I/O: [`init::init`] makes a cluster's first records, [`UnsealProgress`] collects shares.

pub mod init;
pub mod key;
pub mod params;
pub mod rekey;
pub mod shamir;
pub mod unseal;

pub use init::{ClusterKey, Init, init};
pub use key::{ChallengeKey, SealKey};
pub use params::Params;
pub use rekey::rekey;
pub use unseal::UnsealProgress;

use shamir::ShamirError;

/// Why a seal was not made, opened or fed. The texts are those that clients of the Vault API know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The parameters of an init do not fit the API.
    #[error("{0}")]
    Params(String),
    /// A request to unseal without a share.
    #[error("'key' must be specified in request body as JSON, or 'reset' set to true")]
    NoShare,
    /// A share that is no text of bytes.
    #[error("'key' must be a valid hex or base64 string")]
    NotHexOrBase64,
    /// A share that cannot be one: too short.
    #[error("invalid key: key is shorter than minimum {} bytes", unseal::SHARE_MIN)]
    TooShort,
    /// A share that cannot be one: too long.
    #[error("invalid key: key is longer than maximum {} bytes", unseal::SHARE_MAX)]
    TooLong,
    /// Shares that do not go together.
    #[error("invalid key: failed to compute combined key: {0}")]
    Combine(#[from] ShamirError),
    /// What the shares combine to has another size than a seal key.
    #[error("invalid key: failed to setup unseal key: invalid key size {0}")]
    KeySize(usize),
    /// A seal key that is not this cluster's present one.
    #[error(
        "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message \
         authentication failed: a share is mistyped, replaced by a rekey, or of another cluster"
    )]
    WrongKey,
}
