//! Unsealing: shares to a key, a key to a keyring in memory (cluster-protocol, section 5).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::sealing::Secrets;
use super::{Core, Error, Request, Response, Result};
use crate::barrier::{Keyring, RootKey};
use crate::raft::command::Body;
use crate::raft::transport::REMOVED;
use crate::raft::types::LogId;
use crate::seal::{self, ChallengeKey, ClusterKey, SealKey};
use crate::storage::plain;
use crate::storage::schema::{self, Kind};
use crate::token::Salt;

/// What a node had heard of when its shares were complete: they may lift a seal that was known then, and no later one,
/// or shares that wait for something would undo an emergency seal that nobody had thought of when they were given.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    /// Where its log ended.
    log: Option<LogId>,
    /// The log index up to which a leader has told it that entries are committed.
    committed: u64,
}

/// How long shares wait for word from a leader of what was committed before them.
const KNOWN_WAIT: Duration = Duration::from_millis(400);

/// How long a request to unseal waits before it answers that the shares are pending.
const UNSEAL_WAIT: Duration = Duration::from_millis(800);

/// Between two looks at the seal.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// What shares wait for on a node that has joined no cluster yet.
const TO_BE_ADMITTED: &str = "the unseal is pending: this node waits to be admitted to the cluster";

impl Core {
    /// `PUT sys/unseal`: takes a share, or drops all with `reset`.
    pub(crate) async fn unseal(&self, request: &Request) -> Result<Response> {
        if self.is_out() {
            return Err(Error::invalid(REMOVED));
        }
        if request.flag("reset")?.unwrap_or(false) {
            if self.secrets_now().is_some() {
                return Err(Error::invalid("vault is unsealed"));
            }
            self.with_progress(|progress| progress.reset());
            self.drop_held_seal_key();
            return self.seal_status(Vec::new()).await;
        }
        if request.flag("migrate")?.unwrap_or(false) {
            return Err(Error::invalid("cannot migrate: there is no seal migration under way"));
        }
        let share = request.text("key")?.unwrap_or_default();
        if share.is_empty() {
            return Err(Error::invalid("'key' must be specified in request body as JSON, or 'reset' set to true"));
        }
        let Some(config) = self.seal_config().await? else {
            return self.keep_early_share(&share).await;
        };
        if self.secrets_now().is_some() {
            seal::UnsealProgress::read(&share)?;
            return self.seal_status(Vec::new()).await;
        }
        if self.pending_seal().await?.is_some() {
            let text = "this node was sealed and waits for a quorum to seal the others: give the shares after that";
            return Err(Error::Unavailable(text.into()));
        }
        self.with_progress(|progress| progress.add(&share, &self.runtime.entropy))?;
        if !self.with_progress(|progress| progress.is_complete(&config)) {
            return self.seal_status(Vec::new()).await;
        }
        self.shares_are_complete().await;
        match tokio::time::timeout(UNSEAL_WAIT, self.until_unsealed()).await {
            Ok(Ok(true)) => self.seal_status(Vec::new()).await,
            Ok(Err(error)) => Err(error),
            Ok(Ok(false)) | Err(_) => {
                let pending = match self.plain::<plain::Init>(Kind::Init).await? {
                    None => TO_BE_ADMITTED,
                    Some(_) => "the unseal is pending: this node waits for a leader and to catch up with it",
                };
                self.seal_status(vec![pending.into()]).await
            }
        }
    }

    /// Keeps a share on a node that is to join a cluster and has heard of none yet. It takes the place of what was
    /// waiting, as any other does.
    async fn keep_early_share(&self, share: &str) -> Result<Response> {
        if !self.expects_to_join() {
            return Err(Error::invalid("Vault is not initialized"));
        }
        self.drop_held_seal_key();
        self.with_progress(|progress| progress.add(share, &self.runtime.entropy))?;
        self.seal_status(vec![TO_BE_ADMITTED.into()]).await
    }

    /// Notes what this node knows now. These shares take the place of any that were waiting: a key that was found right
    /// earlier must not pass for what is entered now.
    async fn shares_are_complete(&self) {
        self.drop_held_seal_key();
        let note = |known| *self.shares_know.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let log = self.raft.log_end();
        note(Known { log, committed: 0 });
        if let Ok(Ok(committed)) = tokio::time::timeout(KNOWN_WAIT, self.raft.read_index()).await {
            note(Known { log, committed });
        }
    }

    /// Tries to unseal until it succeeds or the shares turn out wrong.
    async fn until_unsealed(&self) -> Result<bool> {
        loop {
            if self.finish_unseal().await? {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn with_progress<T>(&self, work: impl FnOnce(&mut seal::UnsealProgress) -> T) -> T {
        work(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses the shares if there are enough of them and the node has caught up; whether the node is unsealed now.
    ///
    /// # Errors
    /// If the shares are wrong; they are then dropped.
    pub(crate) async fn finish_unseal(&self) -> Result<bool> {
        let _one_at_a_time = self.opening.lock().await;
        if self.secrets_now().is_some() {
            return Ok(true);
        }
        let Some(config) = self.seal_config().await? else { return Ok(false) };
        if !self.with_progress(|progress| progress.is_complete(&config)) && self.held_seal_key().is_none() {
            return Ok(false);
        }
        if self.plain::<plain::Init>(Kind::Init).await?.is_none() && !self.join_with_shares().await? {
            return Ok(false);
        }
        if self.pending_seal().await?.is_some() {
            return Ok(false);
        }
        // No node opens a seal before it has applied all that was committed before: else it would miss a seal record.
        if self.raft.read_index().await.is_err() {
            return Ok(false);
        }
        let Some(config) = self.plain::<plain::SealConfig>(Kind::SealConfig).await? else { return Ok(false) };
        let key = match self.held_seal_key() {
            Some(key) => {
                // It was found right for what this node knew then; the seal may have been changed since.
                key.verify(&config).inspect_err(|_| self.drop_held_seal_key())?;
                key
            }
            None => match self.with_progress(|progress| progress.resolve(&config))? {
                Some(key) => Arc::new(key),
                None => return Ok(false),
            },
        };
        if !self.lift_seal_record(&key).await? {
            self.hold_seal_key(key);
            return Ok(false);
        }
        self.open(&key, &config).await?;
        Ok(true)
    }

    /// Lifts the record of a deliberate seal; whether there is none (any more).
    async fn lift_seal_record(&self, key: &SealKey) -> Result<bool> {
        if crate::runtime::point::mutant("miss-seal-record") {
            return Ok(true);
        }
        let Some(stored) = self.raft.state().get(&schema::key(Kind::SealRecord, b"")).await? else { return Ok(true) };
        let record: plain::SealRecord = plain::decode(&stored.value)
            .ok_or_else(|| Error::Internal("the seal record has an unknown format".into()))?;
        let known = *self.shares_know.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.revision > known.committed && !self.raft.log_held(known.log, stored.revision) {
            self.drop_held_seal_key();
            let text = "the cluster was sealed after these shares were given: give them again to lift that seal";
            return Err(Error::invalid(text));
        }
        let init = self.plain::<plain::Init>(Kind::Init).await?;
        let init = init.ok_or_else(|| Error::Internal("there is a seal record but no init record".into()))?;
        let signature = key.sign_unseal(&init.cluster_id, &record.id);
        if self
            .propose_at_leader(Body::Unseal { epoch: self.raft.state().epoch(), id: record.id, signature })
            .await
            .is_err()
        {
            return Ok(false);
        }
        let _ = self.raft.read_index().await;
        Ok(self.seal_record().await?.is_none())
    }

    async fn open(&self, key: &SealKey, config: &plain::SealConfig) -> Result<()> {
        let root = key.unwrap_root(config)?;
        self.open_with_root(&root).await
    }

    async fn open_with_root(&self, root: &RootKey) -> Result<()> {
        let missing = |kind: Kind| Error::Internal(format!("the record {kind:?} is missing"));
        let cluster = self.plain::<plain::Init>(Kind::Init).await?.ok_or_else(|| missing(Kind::Init))?;
        let keyring = self.plain::<plain::Keyring>(Kind::Keyring).await?.ok_or_else(|| missing(Kind::Keyring))?;
        let keyring = Keyring::decrypt(root, &keyring)?;
        let secrets = self.load_secrets(&keyring, cluster).await?;
        if self.raft.identity().cluster().is_none() {
            self.enter_own_cluster(&secrets.cluster, &secrets.cluster_key).await?;
        }
        self.barrier.unseal(keyring);
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(secrets));
        self.drop_held_seal_key();
        self.with_progress(|progress| progress.reset());
        // A record that was applied since the look must be seen before the first request is.
        self.keys_written.fetch_add(1, Ordering::SeqCst);
        self.refresh_keys().await?;
        if self.secrets_now().is_some() {
            tracing::info!("vault is unsealed");
            self.runtime.trace.event("core", format_args!("unsealed"));
            self.raft.set_fit(true);
        }
        Ok(())
    }

    pub(super) async fn load_secrets(&self, keyring: &Keyring, cluster: plain::Init) -> Result<Secrets> {
        // First: were the seal replaced while the rest is read, the next look sees that this one is old.
        let config = self.plain::<plain::SealConfig>(Kind::SealConfig).await?;
        let config = config.ok_or_else(|| Error::Internal("the seal's record is missing".into()))?;
        let read = async |name: &[u8]| {
            let key = schema::key(Kind::ClusterSecret, name);
            let stored = self.raft.state().get(&key).await?;
            let stored = stored.ok_or_else(|| Error::Internal("a secret of the cluster is missing".into()))?;
            let plain = keyring.open(&key, &stored.value)?;
            seal::init::decode(&plain).ok_or_else(|| Error::Internal("a secret of the cluster is malformed".into()))
        };
        let malformed = || Error::Internal("a secret of the cluster is malformed".into());
        let cluster_key = read(schema::CLUSTER_KEY).await?;
        let challenge_key = read(schema::CHALLENGE_KEY).await?;
        Ok(Secrets {
            cluster_key: ClusterKey::decode(&seal::init::encode(cluster_key.danger_expose())).ok_or_else(malformed)?,
            challenge_key: ChallengeKey::from_slice(challenge_key.danger_expose()).ok_or_else(malformed)?,
            cookie_key: *read(schema::COOKIE_KEY).await?.danger_expose(),
            salt: Salt(*read(schema::TOKEN_SALT).await?.danger_expose()),
            cluster,
            check_key: config.check_key,
        })
    }

    /// Follows the seal until the node stops: takes notice of records, and uses pending shares as soon as it can.
    pub async fn follow_seal(self) {
        loop {
            if self.is_out() {
                self.leave();
                tokio::time::sleep(FOLLOW_PAUSE).await;
                continue;
            }
            if let Err(error) = self.refresh_keys().await {
                tracing::warn!(%error, "sealing: the state of the seal cannot be read");
            }
            if self.secrets_now().is_none()
                && let Err(error) = self.finish_unseal().await
            {
                tracing::warn!(%error, "unseal: not with the shares that are pending");
            }
            self.commit_pending_seal().await;
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }
}
