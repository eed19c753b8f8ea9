//! Init, unseal and seal: from shares to a keyring in memory and back (cluster-protocol, section 5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::mount::{Class, Mount};
use super::{Core, Error, Operation, Raw, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::policy::builtin;
use crate::raft::command::Body;
use crate::raft::transport::REMOVED;
use crate::runtime::UnixTime;
use crate::seal::{self, ChallengeKey, ClusterKey, Params};
use crate::storage::schema::{self, Kind};
use crate::storage::{Txn, plain};
use crate::token::{self, Salt};

/// Secrets of the cluster that live behind the barrier.
pub struct Secrets {
    /// Signs grants.
    pub cluster_key: ClusterKey,
    /// Seals the challenges of nodes that join.
    pub challenge_key: ChallengeKey,
    /// Encrypts the cookies of nodes that join.
    pub cookie_key: [u8; 32],
    /// Hides token ids in storage keys.
    pub salt: Salt,
    /// The cluster's record.
    pub cluster: plain::Init,
    /// Which seal they are of: a rekey replaces it, and some of them with it.
    pub check_key: [u8; 32],
}

/// How long a sole voter has to win its first election.
const INIT_WAIT: Duration = Duration::from_secs(10);

/// Beside the data: the id of a seal that could not be committed yet.
const PENDING_SEAL: &str = "pending-seal";

/// How long `sys/seal` waits for a quorum, and then for the other nodes to confirm.
const SEAL_WAIT: Duration = Duration::from_secs(1);

impl Core {
    /// The keyring and secrets, if the node is unsealed by what it has applied.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub(crate) async fn unsealed(&self) -> Result<Unsealed> {
        self.refresh_keys().await?;
        let secrets = self.secrets_now().ok_or(Error::Sealed)?;
        Ok(Unsealed { keyring: self.barrier.keyring()?, secrets })
    }

    /// Takes notice of a seal record or a new keyring that was applied since the last look.
    pub(crate) async fn refresh_keys(&self) -> Result<()> {
        let written = self.keys_written.load(Ordering::SeqCst);
        if self.keys_seen.load(Ordering::SeqCst) >= written {
            return Ok(());
        }
        // Seen only once the look is over: nobody goes on with old keys while somebody else is looking.
        self.look_at_keys().await?;
        self.keys_seen.fetch_max(written, Ordering::SeqCst);
        Ok(())
    }

    async fn look_at_keys(&self) -> Result<()> {
        if self.secrets_now().is_none() {
            return Ok(());
        }
        if self.seal_record().await?.is_some() {
            self.drop_keys("the cluster was sealed");
            return Ok(());
        }
        let (keyring, root) = (self.plain::<plain::Keyring>(Kind::Keyring).await?, self.plain(Kind::RootKey).await?);
        if let (Some(keyring), Some(root)) = (keyring, root)
            && self.barrier.keyring()?.active() != keyring.active
            && let Err(error) = self.barrier.follow(&keyring, &root)
        {
            tracing::warn!(%error, "sealing: the keyring was replaced and this node cannot follow");
            self.drop_keys("the keyring was replaced");
        }
        self.look_at_seal().await
    }

    /// Takes over the secrets that a rekey has replaced.
    async fn look_at_seal(&self) -> Result<()> {
        let (Some(held), Some(config)) = (self.secrets_now(), self.plain::<plain::SealConfig>(Kind::SealConfig).await?)
        else {
            return Ok(());
        };
        if held.check_key == config.check_key {
            return Ok(());
        }
        let secrets = self.load_secrets(&*self.barrier.keyring()?, held.cluster.clone()).await?;
        let mut slot = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        // Sealed meanwhile: stay so.
        if slot.is_some() {
            *slot = Some(Arc::new(secrets));
            tracing::info!("the unseal shares were replaced");
        }
        Ok(())
    }

    /// Forgets all keys: the node is sealed.
    pub(crate) fn drop_keys(&self, why: &str) {
        self.forget_keys();
        self.raft.set_fit(false);
        tracing::info!(why, "vault is sealed");
        self.runtime.trace.event("core", format_args!("sealed"));
    }

    /// Forgets all keys and all that was decoded with them.
    pub(crate) fn forget_keys(&self) {
        self.barrier.seal();
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.active_term.store(0, Ordering::SeqCst);
        self.tokens.mark_dirty(None);
        self.policies.mark_dirty(None);
        self.router.mark_dirty(None);
        self.acls.clear();
    }

    /// A plain record without a rest in its key.
    pub(crate) async fn plain<T: serde::de::DeserializeOwned>(&self, kind: Kind) -> Result<Option<T>> {
        let stored = self.raft.state().get(&schema::key(kind, b"")).await?;
        match stored {
            None => Ok(None),
            Some(stored) => plain::decode(&stored.value)
                .map(Some)
                .ok_or_else(|| Error::Internal(format!("the record {kind:?} has an unknown format"))),
        }
    }

    pub(crate) async fn seal_record(&self) -> Result<Option<plain::SealRecord>> {
        self.plain(Kind::SealRecord).await
    }

    /// How the root key is wrapped, as far as this node knows: by its state, or by what a join was told.
    pub(crate) async fn seal_config(&self) -> Result<Option<plain::SealConfig>> {
        match self.plain(Kind::SealConfig).await? {
            Some(config) => Ok(Some(config)),
            None => Ok(self.joining_seal_config()),
        }
    }

    // ---- init ----

    /// `PUT sys/init`.
    pub(crate) async fn init(&self, request: &Request) -> Result<Response> {
        let params = Params::parse(&request.data)?;
        if self.seal_config().await?.is_some() || self.raft.identity().cluster().is_some() {
            return Err(Error::invalid("Vault is already initialized"));
        }
        // Shares that waited for another cluster are none of this one.
        self.with_progress(|progress| progress.reset());
        self.raft.initialize(&self.raft.transport().advertised()).await.map_err(Error::Unavailable)?;
        self.wait_for_leadership().await?;
        let made = seal::init(params, &self.settings.cluster_name, self.runtime.clock.now(), &self.runtime.entropy);
        let root_token = self.commit_init(&made).await?;
        self.enter_own_cluster(&made.record, &made.cluster_key).await?;
        let (keys, keys_base64) = made.share_texts();
        tracing::info!("security barrier initialized, vault is sealed");
        Ok(bare(json!({ "keys": keys, "keys_base64": keys_base64, "root_token": root_token })))
    }

    async fn wait_for_leadership(&self) -> Result<()> {
        let mut changes = self.raft.changes();
        let lead = async {
            while self.raft.leading().is_none() {
                changes.changed().await;
            }
        };
        let waited = tokio::time::timeout(INIT_WAIT, lead).await;
        waited.map_err(|_| Error::Unavailable("this node did not become leader of its own cluster in time".into()))
    }

    /// Everything that a cluster begins with, in one commit.
    async fn commit_init(&self, made: &seal::Init) -> Result<String> {
        let entropy = &self.runtime.entropy;
        let now = self.runtime.clock.now();
        let txn = Txn::new(self.raft.state().clone());
        let mut txn = BarrierTxn::new(txn, Arc::clone(&made.keyring), entropy.clone());
        made.write(&mut txn);
        let salt = Salt(entropy.bytes());
        txn.put(schema::key(Kind::ClusterSecret, schema::TOKEN_SALT), &seal::init::encode(&salt.0));
        txn.put(schema::key(Kind::ClusterSecret, schema::COOKIE_KEY), &seal::init::encode(&entropy.bytes()));
        txn.put(
            super::policies::key("default"),
            &super::policies::Stored::new("default", builtin::DEFAULT_TEXT, now).encode(),
        );
        for mount in self.first_mounts() {
            txn.put(mount.key(), &mount.encode());
        }
        let root_token = token::id::service(entropy);
        let entry = root_entry(token::id::accessor(entropy), now);
        token::store::create(&mut txn, &salt, &salt.hash(&root_token), &entry);
        match self.commit(txn).await {
            Err(Error::Conflict) => Err(Error::invalid("Vault is already initialized")),
            Err(error) => Err(error),
            Ok(()) => Ok(root_token),
        }
    }

    fn first_mounts(&self) -> Vec<Mount> {
        let entropy = &self.runtime.entropy;
        let mount = |class, path: &str, kind: &str, description: &str| Mount {
            uuid: entropy.bytes(),
            class,
            path: path.into(),
            kind: kind.into(),
            description: description.into(),
            accessor: match class {
                Class::Secret => format!("{kind}_{}", hex::encode(entropy.bytes::<4>())),
                Class::Auth => format!("auth_{kind}_{}", hex::encode(entropy.bytes::<4>())),
            },
            options: BTreeMap::new(),
            default_lease_ttl: Duration::ZERO,
            max_lease_ttl: Duration::ZERO,
            tune: BTreeMap::new(),
            local: kind == "cubbyhole",
            seal_wrap: kind == "system",
            external_entropy_access: false,
            namespace: schema::NAMESPACE_ROOT,
            disabling: false,
            upgrading: false,
            moved: None,
        };
        vec![
            mount(Class::Secret, "cubbyhole/", "cubbyhole", "per-token private secret storage"),
            mount(Class::Secret, "identity/", "identity", "identity store"),
            mount(Class::Secret, "sys/", "system", "system endpoints used for control, policy and debugging"),
            mount(Class::Auth, "auth/token/", "token", "token based credentials"),
        ]
    }

    // ---- seal ----

    /// `PUT sys/seal`: the whole cluster, or this node with `scope=node`.
    pub(crate) async fn seal_cluster(&self, request: &Request) -> Result<Response> {
        if request.text("scope")?.as_deref() == Some("node") {
            self.drop_keys("an operator sealed this node");
            return Ok(Response::empty());
        }
        let id = self.runtime.entropy.bytes();
        match tokio::time::timeout(SEAL_WAIT, self.propose_seal(id)).await {
            Ok(Ok(())) => {
                self.drop_keys("an operator sealed the cluster");
                Ok(self.unconfirmed_answer(self.wait_for_confirmations().await))
            }
            Ok(Err(_)) | Err(_) => {
                // The keys first: whatever the disk does, they are gone.
                self.drop_keys("an operator sealed the cluster, which has no quorum");
                self.remember_pending_seal(&id).await?;
                Ok(self.unconfirmed_answer(self.unconfirmed()))
            }
        }
    }

    /// Commits the record of a seal, or finds the cluster sealed already by somebody else's.
    pub(crate) async fn propose_seal(&self, id: [u8; 16]) -> Result<()> {
        match self.propose_at_leader(Body::Seal { epoch: self.raft.state().epoch(), id }).await {
            // A conflict without a record is no seal.
            Err(Error::Conflict) if matches!(self.seal_record().await, Ok(Some(_))) => Ok(()),
            proposed => proposed,
        }
    }

    /// Keeps a seal that could not be committed beside the data, so that it holds over restarts until it is.
    async fn remember_pending_seal(&self, id: &[u8; 16]) -> Result<()> {
        let path = self.raft.data_dir().join(PENDING_SEAL);
        let written = self.raft.disk().replace(&path, bytes::Bytes::copy_from_slice(id)).await;
        written.map_err(|error| Error::Internal(format!("{}: {error}", path.display())))
    }

    /// The id of a seal that waits for a quorum.
    ///
    /// # Errors
    /// If nobody can tell: the node must not be unsealed then.
    pub(crate) async fn pending_seal(&self) -> Result<Option<[u8; 16]>> {
        let path = self.raft.data_dir().join(PENDING_SEAL);
        let failed = |error: &dyn std::fmt::Display| Error::Internal(format!("{}: {error}", path.display()));
        let stored = self.raft.disk().read_if_exists(&path).await.map_err(|error| failed(&error))?;
        stored.map(|id| id.as_ref().try_into().map_err(|_| failed(&"not the id of a seal"))).transpose()
    }

    /// Commits a seal that waited for a quorum.
    pub(crate) async fn commit_pending_seal(&self) {
        let Ok(Some(id)) = self.pending_seal().await else { return };
        let proposed = self.propose_at_leader(Body::Seal { epoch: self.raft.state().epoch(), id }).await;
        // Somebody else's record serves as well.
        if proposed.is_err() && !matches!(self.seal_record().await, Ok(Some(_))) {
            return;
        }
        // Shares that came in before the file was there must not lift what it stood for.
        let _nobody_opens = self.opening.lock().await;
        self.with_progress(|progress| progress.reset());
        self.drop_held_seal_key();
        let path = self.raft.data_dir().join(PENDING_SEAL);
        if let Err(error) = self.raft.disk().remove(&path).await {
            tracing::warn!(%error, "sealing: {} could not be removed", path.display());
        }
    }

    async fn wait_for_confirmations(&self) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + SEAL_WAIT;
        loop {
            let unconfirmed = self.unconfirmed();
            if unconfirmed.is_empty() || tokio::time::Instant::now() >= deadline {
                return unconfirmed;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Labels of members that have not said that they dropped their keys.
    fn unconfirmed(&self) -> Vec<String> {
        let own = self.raft.identity().incarnation();
        let peers = self.raft.transport().peers();
        let confirmed = |id| {
            peers.iter().any(|peer| {
                peer.incarnation == id && peer.connected && peer.fitness.is_some_and(|fitness| fitness.sealed)
            })
        };
        let others = self.raft.members().into_iter().filter(|member| member.incarnation != own);
        others.filter(|member| !confirmed(member.incarnation)).map(|member| member.label).collect()
    }

    fn unconfirmed_answer(&self, unconfirmed: Vec<String>) -> Response {
        match unconfirmed.is_empty() {
            true => Response::empty(),
            false => Response::empty().warn(format!("not confirmed sealed yet: {}", unconfirmed.join(", "))),
        }
    }

    // ---- status ----

    /// `GET sys/seal-status`.
    pub(crate) async fn seal_status(&self, pending: Vec<String>) -> Result<Response> {
        let config = self.seal_config().await?;
        let unsealed = self.secrets_now();
        let (progress, nonce) = self.with_progress(|progress| (progress.count(), progress.nonce().to_string()));
        let mut status = json!({
            "type": "shamir",
            "initialized": config.is_some(),
            "sealed": unsealed.is_none(),
            "t": config.as_ref().map_or(0, |config| config.threshold),
            "n": config.as_ref().map_or(0, |config| config.shares),
            "progress": progress,
            "nonce": nonce,
            "recovery_seal": false,
            "version": crate::VERSION,
            "build_date": crate::BUILD_DATE,
            "commit_date": crate::BUILD_DATE,
            "migration": false,
            "storage_type": self.settings.storage_type,
        });
        if let Some(secrets) = unsealed {
            status["cluster_name"] = Value::String(secrets.cluster.cluster_name.clone());
            status["cluster_id"] = Value::String(secrets.cluster.cluster_id.clone());
        }
        if self.is_out() {
            status["removed_from_cluster"] = json!(true);
            status["warnings"] = json!([REMOVED]);
        } else if !pending.is_empty() {
            status["warnings"] = json!(pending);
            status["pending"] = json!(true);
        }
        Ok(bare(status))
    }
}

/// An answer without the envelope.
pub(crate) fn bare(body: Value) -> Response {
    let mut bytes = body.to_string().into_bytes();
    bytes.push(b'\n');
    let raw = Raw { content_type: "application/json", body: bytes, status: 200 };
    Response { raw: Some(raw), ..Response::default() }
}

/// The record of a root token.
pub(crate) fn root_entry(accessor: String, now: UnixTime) -> token::Entry {
    token::Entry {
        accessor,
        parent: None,
        policies: vec!["root".into()],
        path: "auth/token/root".into(),
        display_name: "root".into(),
        metadata: BTreeMap::new(),
        created: now,
        creation_ttl: Duration::ZERO,
        expires: None,
        renewed: None,
        explicit_max_ttl: Duration::ZERO,
        period: Duration::ZERO,
        num_uses: 0,
        renewable: false,
        namespace: schema::NAMESPACE_ROOT,
        wraps: None,
        ..token::Entry::default()
    }
}

impl Core {
    /// Whether a request is for this very node rather than the active one: any node can seal the cluster, also when there
    /// is no active one.
    pub(crate) fn is_for_this_node(request: &Request) -> bool {
        request.path == "sys/seal" && request.operation == Operation::Update
    }
}
