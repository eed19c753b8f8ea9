//! Who this data directory is. An *incarnation* is drawn when a directory is created and bound to it by a key; every
//! start raises a counter, durably, before anyone hears of it, so that a copied or rolled-back directory is recognised
//! (cluster-protocol, section 1).
//!
//! Files: `identity` (incarnation, public key, start counter, cluster, grant, label) and the private key, by default
//! `node-key`, which is in no archive and no support bundle.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::grant::{Grant, PublicKey, SignatureBytes};
use super::node_file::{self, NodeFileError};
use super::types::Incarnation;
use crate::runtime::Runtime;
use crate::runtime::point::mutant;

/// The identity of a data directory in this process. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    runtime: Runtime,
    directory: PathBuf,
    key_path: PathBuf,
    nonce: u64,
    facts: RwLock<Facts>,
    /// Held while the files are written, so that two changes cannot cross.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Facts {
    stored: Stored,
    key: SigningKey,
}

/// The cluster that a node belongs to, as its identity file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The cluster's UUID.
    pub id: String,
    /// Public halves of the cluster key, newest first.
    pub keys: Vec<PublicKey>,
    /// This node's own grant.
    pub grant: Grant,
}

impl Identity {
    /// Loads the identity of `directory`, or draws one if it has none, and raises the start counter durably.
    /// `key_path` is where the private key is (`node_key_path`); by default `node-key` in the directory. `label` is the
    /// operator's `node_id`.
    ///
    /// # Errors
    /// I/O errors; a damaged identity; a key file that is missing or of another incarnation.
    pub async fn open(
        runtime: &Runtime,
        directory: &Path,
        key_path: Option<&Path>,
        label: &str,
    ) -> Result<Identity, IdentityError> {
        let key_path = key_path.map_or_else(|| directory.join(KEY_FILE), Path::to_path_buf);
        let path = directory.join(IDENTITY_FILE);
        let facts = match runtime.disk.read_if_exists(&path).await.map_err(|error| io_error(&path, error))? {
            Some(bytes) => load(runtime, &path, &bytes, &key_path, label).await?,
            None => {
                runtime.disk.create_dir_all(directory).await.map_err(|error| io_error(directory, error))?;
                if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    runtime.disk.sync_dir(parent).await.map_err(|error| io_error(parent, error))?;
                }
                draw(runtime, &key_path, label).await?
            }
        };
        let identity = Identity(Arc::new(Shared {
            runtime: runtime.clone(),
            directory: directory.to_path_buf(),
            key_path,
            nonce: runtime.entropy.next_u64(),
            facts: RwLock::new(facts),
            writing: tokio::sync::Mutex::new(()),
        }));
        identity.change(|stored| stored.counter += 1).await?;
        Ok(identity)
    }

    /// Raft's node id of this directory.
    pub fn incarnation(&self) -> Incarnation {
        self.read(|facts| facts.stored.incarnation)
    }

    /// The public half of the node's key.
    pub fn public_key(&self) -> PublicKey {
        self.read(|facts| facts.stored.public_key)
    }

    /// The operator's `node_id`.
    pub fn label(&self) -> String {
        self.read(|facts| facts.stored.label.clone())
    }

    /// How often this directory was started, this time included.
    pub fn counter(&self) -> u64 {
        self.read(|facts| facts.stored.counter)
    }

    /// Drawn at start: tells this process from another with the same directory.
    pub fn nonce(&self) -> u64 {
        self.0.nonce
    }

    /// The cluster, once the node belongs to one.
    pub fn cluster(&self) -> Option<Cluster> {
        self.read(|facts| facts.stored.cluster.clone())
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Signs with the node's key.
    pub fn sign(&self, message: &[u8]) -> SignatureBytes {
        self.read(|facts| SignatureBytes::sign(&facts.key, message))
    }

    /// The seed of the node's key, for TLS.
    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.read(|facts| Zeroizing::new(facts.key.to_bytes()))
    }

    /// Becomes a member of a cluster, durably: after `init` with a grant of its own making, after a join with the
    /// granter's. AppendEntries is accepted only after this has returned.
    ///
    /// # Errors
    /// If the grant is not this node's, is not signed by one of the keys, or the node is a member of another cluster;
    /// I/O errors.
    pub async fn enter(&self, cluster: Cluster) -> Result<(), IdentityError> {
        let fits = self.read(|facts| {
            let (stored, grant) = (&facts.stored, &cluster.grant);
            grant.cluster_id == cluster.id
                && grant.incarnation == stored.incarnation
                && grant.public_key == stored.public_key
                && stored.cluster.as_ref().is_none_or(|present| present.id == cluster.id)
        });
        if !fits || !cluster.grant.verify(&cluster.keys) {
            return Err(IdentityError::Grant);
        }
        self.change(|stored| stored.cluster = Some(cluster)).await
    }

    /// Makes a directory without an init record anew, as a new incarnation with a new key and no cluster. The caller
    /// has stopped the transport and emptied log and state.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn reset(&self) -> Result<(), IdentityError> {
        let _writing = self.0.writing.lock().await;
        // The identity goes first: a crash before the new one is written leaves a directory that draws one at its start.
        let (disk, path) = (&self.0.runtime.disk, self.0.directory.join(IDENTITY_FILE));
        disk.remove(&path).await.map_err(|error| io_error(&path, error))?;
        disk.sync_dir(&self.0.directory).await.map_err(|error| io_error(&path, error))?;
        let mut facts = draw(&self.0.runtime, &self.0.key_path, &self.label()).await?;
        facts.stored.counter = 1;
        self.write(&facts.stored).await?;
        *self.0.facts.write().unwrap_or_else(PoisonError::into_inner) = facts;
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Facts) -> T) -> T {
        read(&self.0.facts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the stored facts: on disk first, then in memory.
    async fn change(&self, change: impl FnOnce(&mut Stored)) -> Result<(), IdentityError> {
        let _writing = self.0.writing.lock().await;
        let mut stored = self.read(|facts| facts.stored.clone());
        change(&mut stored);
        self.write(&stored).await?;
        self.0.facts.write().unwrap_or_else(PoisonError::into_inner).stored = stored;
        Ok(())
    }

    async fn write(&self, stored: &Stored) -> Result<(), IdentityError> {
        let path = self.0.directory.join(IDENTITY_FILE);
        let bytes = node_file::encode(IDENTITY_MAGIC, stored);
        self.0.runtime.disk.replace(&path, bytes).await.map_err(|error| io_error(&path, error))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({:016x})", self.incarnation())
    }
}

/// Why a data directory has no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {error}; restore it, or empty the data directory and join as a new node")]
    File {
        /// Which file.
        path: String,
        /// Why.
        error: NodeFileError,
    },
    /// The identity is there, its key is not.
    #[error("{path}: the private key of this data directory is missing; restore it, or empty the directory and rejoin")]
    KeyMissing {
        /// Where it should be.
        path: String,
    },
    /// The key is of another incarnation.
    #[error("{path}: this private key belongs to another data directory (two nodes with one `node_key_path`?)")]
    KeyForeign {
        /// Where it is.
        path: String,
    },
    /// A grant that is not for this node.
    #[error("the grant is not one of this node and this cluster")]
    Grant,
}

async fn load(
    runtime: &Runtime,
    path: &Path,
    bytes: &[u8],
    key_path: &Path,
    label: &str,
) -> Result<Facts, IdentityError> {
    let mut stored: Stored = node_file::decode(IDENTITY_MAGIC, bytes).map_err(|error| file_error(path, error))?;
    let key = runtime.disk.read_if_exists(key_path).await.map_err(|error| io_error(key_path, error))?;
    let key = Zeroizing::new(key.ok_or_else(|| IdentityError::KeyMissing { path: text(key_path) })?.to_vec());
    let key: StoredKey = node_file::decode(KEY_MAGIC, &key).map_err(|error| file_error(key_path, error))?;
    let seed = Zeroizing::new(key.seed);
    let signing = SigningKey::from_bytes(&seed);
    if key.incarnation != stored.incarnation || signing.verifying_key().to_bytes() != stored.public_key {
        return Err(IdentityError::KeyForeign { path: text(key_path) });
    }
    stored.label = label.to_string();
    Ok(Facts { stored, key: signing })
}

/// Draws an incarnation and its key; the key is durable when this returns, the identity is not. A key that is already
/// at the path belonged to a directory that was emptied: a new incarnation never takes it over.
async fn draw(runtime: &Runtime, key_path: &Path, label: &str) -> Result<Facts, IdentityError> {
    let mut incarnation = runtime.entropy.next_u64().max(1);
    let mut seed = Zeroizing::new(runtime.entropy.bytes::<32>());
    let mut counter = 0;
    if mutant("emptied-directory-keeps-incarnation") {
        seed = Zeroizing::new(*blake3::hash(label.as_bytes()).as_bytes());
        incarnation = u64::from_le_bytes(std::array::from_fn(|at| seed[at])).max(1);
        counter = u64::try_from(runtime.clock.now().seconds()).unwrap_or(0);
    }
    let key = SigningKey::from_bytes(&seed);
    let bytes = node_file::encode(KEY_MAGIC, &StoredKey { incarnation, seed: *seed });
    runtime.disk.replace(key_path, bytes).await.map_err(|error| io_error(key_path, error))?;
    let public_key = key.verifying_key().to_bytes();
    Ok(Facts { stored: Stored { incarnation, public_key, counter, label: label.to_string(), cluster: None }, key })
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    incarnation: Incarnation,
    public_key: PublicKey,
    counter: u64,
    label: String,
    cluster: Option<Cluster>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    incarnation: Incarnation,
    seed: [u8; 32],
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn io_error(path: &Path, error: io::Error) -> IdentityError {
    IdentityError::Io { path: text(path), error }
}

fn file_error(path: &Path, error: NodeFileError) -> IdentityError {
    IdentityError::File { path: text(path), error }
}

/// The identity's file name in a data directory.
pub const IDENTITY_FILE: &str = "identity";
/// The private key's file name in a data directory, unless `node_key_path` says otherwise.
pub const KEY_FILE: &str = "node-key";
const IDENTITY_MAGIC: &[u8; 4] = b"HFID";
const KEY_MAGIC: &[u8; 4] = b"HFNK";

#[cfg(test)]
mod tests;
