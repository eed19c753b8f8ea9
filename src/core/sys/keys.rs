//! `sys/key-status` and `sys/rotate`: the keyring's terms.

use serde_json::json;

use super::unsupported_path;
use crate::barrier::BarrierTxn;
use crate::core::authorize::Authorized;
use crate::core::{Core, Error, Operation, Response, Result, Unsealed};
use crate::storage::{plain, schema};

impl Core {
    /// Serves both.
    pub(crate) async fn sys_keys(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        path: &str,
    ) -> Result<Response> {
        match (path, authorized.operation) {
            ("key-status", Operation::Read) => self.key_status(unsealed).await,
            ("rotate" | "rotate/keyring", Operation::Update | Operation::Create) => {
                self.rotate(unsealed, txn).await?;
                Ok(Response::empty())
            }
            ("rotate/config" | "rotate/keyring/config", Operation::Read) => Ok(Response::data(json!({
                "enabled": true,
                "interval": 0,
                "max_operations": crate::barrier::SEALED_MAX,
            }))),
            ("key-status" | "rotate" | "rotate/keyring" | "rotate/config" | "rotate/keyring/config", _) => {
                Err(Error::Unsupported)
            }
            _ => Err(unsupported_path()),
        }
    }

    async fn key_status(&self, unsealed: &Unsealed) -> Result<Response> {
        let info = unsealed.keyring.info();
        Ok(Response::data(json!({
            "term": info.term,
            "install_time": info.installed.rfc3339(),
            "encryptions": self.sealed_with(info.term).await?,
        }))
        .flat())
    }

    /// Values that the term's key has sealed, as `apply` counted them.
    pub(crate) async fn sealed_with(&self, term: u32) -> Result<u64> {
        let key = schema::key(schema::Kind::SealedCount, &term.to_be_bytes());
        let stored = self.raft.state().get(&key).await?;
        Ok(stored.and_then(|stored| plain::decode::<plain::SealedCount>(&stored.value)).map_or(0, |count| count.0))
    }

    /// Writes a keyring with one more term; nodes take it over when they apply it.
    pub(crate) async fn rotate(&self, unsealed: &Unsealed, txn: &mut BarrierTxn) -> Result<()> {
        let keyring_key = schema::key(schema::Kind::Keyring, b"");
        let stored = txn.below().get(&schema::key(schema::Kind::RootKey, b"")).await?;
        let stored = stored.and_then(|stored| plain::decode::<plain::RootKey>(&stored.value));
        let stored = stored.ok_or_else(|| Error::Internal("the root key's record is unreadable".into()))?;
        let present = txn.below().get(&keyring_key).await?;
        let present = present.and_then(|present| plain::decode::<plain::Keyring>(&present.value));
        // Another rotation came between: a keyring made from the one before it would lose that one's term, and with it
        // all that is sealed by it.
        if present.is_none_or(|present| present.active != unsealed.keyring.active()) {
            return Err(Error::Conflict);
        }
        let (entropy, now) = (&self.runtime.entropy, self.runtime.clock.now());
        // The root key's record stays as it is: nodes open it with the keyring that they have, and with it the new one.
        let (_, record) = crate::barrier::rotate(&unsealed.keyring, &stored, entropy, now)?;
        txn.below().put_plain(keyring_key, plain::encode(&record));
        Ok(())
    }
}
