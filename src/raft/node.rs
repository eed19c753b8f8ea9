//! The running Raft of one node, as everything above sees it: propose, read, lead, and change the membership.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, ReadPolicy, ServerState};

use super::command::{Applied, Body, Command};
use super::gate::Gate;
use super::identity::Identity;
use super::log::Log;
use super::read_index::{Answer, Batcher, ReadIndexError};
use super::settings::Timing;
use super::state::State;
use super::state_machine::StateMachine;
use super::transport::raft_server::Served;
use super::transport::{Fitness, Kind, Transport};
use super::types::{Incarnation, LogId, Member, TypeConfig};
use crate::limits;
use crate::runtime::disk::Lock;
use crate::runtime::{Runtime, UnixTime};

/// openraft with our types.
pub(super) type OpenRaft = openraft::Raft<TypeConfig, StateMachine>;

/// A running Raft. Cheap to clone.
#[derive(Clone)]
pub struct Raft(Arc<Inner>);

pub(super) struct Inner {
    pub(super) runtime: Runtime,
    pub(super) openraft: OpenRaft,
    pub(super) log: Log,
    pub(super) state: State,
    pub(super) transport: Transport,
    served: Served,
    pub(super) identity: Identity,
    pub(super) options: Options,
    pub(super) fit: AtomicBool,
    pub(super) gate: Gate,
    reads: Batcher,
    /// What this node does by itself until it stops.
    tasks: std::sync::Mutex<Vec<tokio::task::AbortHandle>>,
    /// The data directory's, until the node stops.
    lock: std::sync::Mutex<Option<Lock>>,
}

/// How a node's Raft is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where log, state and identity are.
    pub data_dir: PathBuf,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Encoded bytes of one entry at most.
    pub entry_bytes_max: usize,
    /// A checkpoint is taken when the log since the last one is longer.
    pub checkpoint_log_bytes: u64,
}

/// Why a proposal came to nothing, or may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Rejected before it was appended: this node does not lead, or hands over.
    #[error("this node is not the leader")]
    NotLeader,
    /// Rejected before it was appended: larger than an entry may be.
    #[error("the entry has {bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Rejected before it was appended: no space, too much in flight, a faulted disk.
    #[error("{0}")]
    Refused(String),
    /// It may or may not be committed.
    #[error("{0}")]
    Unknown(String),
}

/// A member of the cluster, as far as this node knows.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// Raft's id.
    pub incarnation: Incarnation,
    /// The operator's `node_id`.
    pub label: String,
    /// `host:port` of its cluster listener.
    pub address: String,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
    /// When it was last heard of; `None` for this node itself.
    pub last_heard: Option<UnixTime>,
}

impl Raft {
    pub(super) fn new(
        runtime: Runtime,
        openraft: OpenRaft,
        log: Log,
        state: State,
        transport: Transport,
        served: Served,
        identity: Identity,
        options: Options,
    ) -> Raft {
        Raft(Arc::new(Inner {
            runtime,
            openraft,
            log,
            state,
            transport,
            served,
            identity,
            options,
            fit: AtomicBool::new(false),
            gate: Gate::default(),
            reads: Batcher::default(),
            tasks: std::sync::Mutex::default(),
            lock: std::sync::Mutex::default(),
        }))
    }

    /// Takes charge of tasks that would otherwise outlive the node.
    pub(super) fn keep_tasks<const N: usize>(&self, tasks: [tokio::task::JoinHandle<()>; N]) {
        let mut kept = self.0.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.extend(tasks.iter().map(tokio::task::JoinHandle::abort_handle));
    }

    /// Ends them.
    pub(super) fn end_tasks(&self) {
        for task in self.0.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    /// Keeps other processes out of the data directory until [`Raft::unlock`].
    pub(super) fn keep_lock(&self, lock: Lock) {
        *self.0.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(lock);
    }

    /// Lets other processes into the data directory.
    pub(super) fn unlock(&self) {
        self.0.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// Replicated state as of what is applied here.
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// What this node is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The cluster port.
    pub fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Proposes a command and waits until it is applied here.
    ///
    /// # Errors
    /// See [`ProposeError`]: only `NotLeader` and a conflict may ever be repeated.
    pub async fn propose(&self, body: Body) -> Result<Applied, ProposeError> {
        let command = Command::encode(&body);
        let bytes = command.size();
        if bytes > self.0.options.entry_bytes_max {
            return Err(ProposeError::TooLarge { bytes });
        }
        if let Some(fault) = self.fault() {
            return Err(ProposeError::Refused(format!("this node is faulted: {fault}")));
        }
        if !self.0.log.has_space() {
            return Err(ProposeError::Refused("there is no space left for the log".into()));
        }
        let _passed = self.0.gate.pass(bytes).await?;
        match tokio::time::timeout(limits::PROPOSAL_DEADLINE, self.0.openraft.client_write(command)).await {
            Ok(Ok(written)) => Ok(written.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(ProposeError::NotLeader),
            Ok(Err(error)) => Err(ProposeError::Unknown(error.to_string())),
            Err(_) => Err(ProposeError::Unknown("no answer in time".into())),
        }
    }

    /// Waits until reads of this node's state see everything that was acknowledged anywhere before this call. The
    /// leader confirms its leadership with a quorum; any other node asks it.
    ///
    /// # Errors
    /// If there is no leader that can confirm within a deadline.
    pub async fn read_index(&self) -> Result<u64, ReadIndexError> {
        let raft = self.clone();
        let index = self.0.reads.get(move || raft.clone().confirm()).await?;
        let wait = tokio::time::timeout(self.0.options.timing.without_leader(), self.0.state.wait_applied(index));
        match wait.await {
            Ok(Ok(())) => Ok(index),
            Ok(Err(error)) => Err(ReadIndexError(error.to_string())),
            Err(_) => Err(ReadIndexError(format!("index {index} was not applied in time"))),
        }
    }

    async fn confirm(self) -> Answer {
        let deadline = self.0.options.timing.without_leader();
        match self.leader() {
            Some(leader) if leader == self.0.identity.incarnation() => {
                match tokio::time::timeout(deadline, self.confirm_leadership()).await {
                    Ok(answer) => answer,
                    Err(_) => Err(ReadIndexError("no quorum answered in time".into())),
                }
            }
            Some(leader) => {
                let answer = self.0.transport.call(leader, Kind::ReadIndex, bytes::Bytes::new(), deadline).await;
                let answer = answer.map_err(|error| ReadIndexError(error.to_string()))?;
                let index = answer.as_ref().try_into().map_err(|_| ReadIndexError("a malformed answer".into()))?;
                Ok(u64::from_be_bytes(index))
            }
            None => Err(ReadIndexError("there is no leader".into())),
        }
    }

    /// As leader: an index that a quorum confirmed after this call began.
    pub(super) async fn confirm_leadership(&self) -> Answer {
        let read = self.0.openraft.get_read_log_id(ReadPolicy::ReadIndex).await;
        let (read, _) = read.map_err(|error| ReadIndexError(error.to_string()))?;
        Ok(read.index())
    }

    /// The term that this node leads in, as long as a quorum has acknowledged it within an election timeout.
    pub fn leading(&self) -> Option<u64> {
        if self.fault().is_some() {
            return None;
        }
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader || metrics.current_leader != Some(metrics.id) {
            return None;
        }
        // A sole voter's own word is the quorum's, and nothing renews it.
        let alone = metrics.membership_config.membership().voter_ids().count() == 1;
        let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        let fresh = alone
            || acked.is_some_and(|age| age < self.0.options.timing.without_leader())
            || crate::runtime::point::mutant("read-without-leadership");
        fresh.then_some(metrics.current_term)
    }

    /// Time since a leader was last heard of here: zero at a leader that a quorum follows, `None` if none ever was.
    /// openraft's word for who leads does not expire; this does.
    pub fn leader_heard(&self) -> Option<Duration> {
        if self.leading().is_some() {
            return Some(Duration::ZERO);
        }
        self.0.served.last_append().map(|at| self.0.runtime.clock.boot().saturating_sub(at))
    }

    /// Whether a leader was heard of within an election timeout.
    pub fn has_leader(&self) -> bool {
        self.leader_heard().is_some_and(|age| age <= self.0.options.timing.without_leader())
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<Incarnation> {
        self.0.openraft.metrics().borrow_watched().current_leader
    }

    /// The present term, and the last log and applied index.
    pub fn progress(&self) -> (u64, u64, u64) {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        let applied = metrics.last_applied.map_or(0, |id| id.index);
        (metrics.current_term, metrics.last_log_index.unwrap_or(0), applied)
    }

    /// Time since a quorum last acknowledged this leader; `None` if this node does not lead or is the sole voter.
    pub fn last_contact(&self) -> Option<Duration> {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.last_quorum_acked.map(|acked| acked.elapsed())
    }

    /// Notices of anything that [`Raft::leading`] and [`Raft::leader`] depend on.
    pub fn changes(&self) -> Changes {
        Changes(self.0.openraft.metrics())
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.0.options.data_dir
    }

    /// The disk of the data directory.
    pub fn disk(&self) -> &crate::runtime::Disk {
        &self.0.runtime.disk
    }

    /// Tells the duration of each sync of the log to `observer`, which must not block.
    pub fn observe_syncs(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        self.0.log.observe_syncs(observer);
    }

    /// How long the log's writes and syncs have taken.
    pub fn syncs(&self) -> super::log::Figures {
        self.0.log.syncs()
    }

    /// Where the log ends: what this node has been sent so far, committed or not.
    pub fn log_end(&self) -> Option<LogId> {
        self.0.log.last()
    }

    /// Whether a log that ended at `end` held the entry that is at `index` now. An entry of a later term has replaced
    /// what was there then.
    pub fn log_held(&self, end: Option<LogId>, index: u64) -> bool {
        let term = self.0.log.term_at(index);
        end.is_some_and(|end| index <= end.index && term.is_none_or(|term| term <= end.leader_id.term))
    }

    /// Disk use of the log in bytes.
    pub fn log_bytes(&self) -> u64 {
        self.0.log.bytes_on_disk()
    }

    /// Why this node's log or state has failed for good; `None` while it works.
    pub fn fault(&self) -> Option<String> {
        self.0.log.fault().or_else(|| self.0.state.fault())
    }

    /// Whether there is a Raft membership at all.
    pub fn has_members(&self) -> bool {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().voter_ids().next().is_some()
    }

    /// Whether this node votes.
    pub fn is_voter(&self) -> bool {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().voter_ids().any(|id| id == metrics.id)
    }

    /// Whether this node is alone in its membership, or has none.
    pub fn is_alone(&self) -> bool {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().nodes().all(|(id, _)| *id == metrics.id)
    }

    /// Makes this node the only voter of a new Raft; fine if it has a membership already.
    ///
    /// # Errors
    /// If Raft refuses.
    pub async fn initialize(&self, address: &str) -> Result<(), String> {
        if self.has_members() {
            return Ok(());
        }
        let me = self.member(address);
        let members = BTreeMap::from([(self.0.identity.incarnation(), me)]);
        self.0.openraft.initialize(members).await.map_err(|error| error.to_string())
    }

    fn member(&self, address: &str) -> Member {
        let identity = &self.0.identity;
        Member { label: identity.label(), address: address.to_string(), public_key: identity.public_key() }
    }

    /// The members, by label.
    pub fn members(&self) -> Vec<MemberStatus> {
        let (leader, membership) = {
            let metrics = self.0.openraft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_leader, Arc::clone(&metrics.membership_config))
        };
        let voters: BTreeSet<Incarnation> = membership.membership().voter_ids().collect();
        let peers = self.0.transport.peers();
        let own = self.0.identity.incarnation();
        let mut members: Vec<MemberStatus> = membership
            .membership()
            .nodes()
            .map(|(id, member)| {
                let peer = peers.iter().find(|peer| peer.incarnation == *id);
                let known = match *id == own {
                    true => Some(self.0.transport.advertised()),
                    false => self.0.transport.address_book().address(*id),
                };
                MemberStatus {
                    incarnation: *id,
                    label: member.label.clone(),
                    address: known.unwrap_or_else(|| member.address.clone()),
                    public_key: member.public_key,
                    leader: leader == Some(*id),
                    voter: voters.contains(id),
                    last_heard: peer.and_then(|peer| peer.last_heard_at(&self.0.runtime.clock)),
                }
            })
            .collect();
        members.sort_by(|a, b| a.label.cmp(&b.label));
        members
    }

    /// The members by incarnation, as the membership has them.
    pub fn member_map(&self) -> BTreeMap<Incarnation, Member> {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().nodes().map(|(id, member)| (*id, member.clone())).collect()
    }

    /// The log index of the present membership.
    pub fn membership_index(&self) -> u64 {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.log_id().as_ref().map_or(0, |id| id.index)
    }

    /// Adds a learner.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn add_learner(&self, incarnation: Incarnation, member: Member) -> Result<(), ProposeError> {
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(incarnation, member)]))).await
    }

    /// Makes a learner a voter in place of those it replaces, in one change.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn promote(&self, incarnation: Incarnation, replaced: BTreeSet<Incarnation>) -> Result<(), ProposeError> {
        let mut changes = vec![ChangeMembers::AddVoterIds(BTreeSet::from([incarnation]))];
        changes.extend(self.removal(replaced));
        self.change(ChangeMembers::Batch(changes)).await
    }

    /// Takes a member out of the membership.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn remove(&self, incarnation: Incarnation) -> Result<(), ProposeError> {
        self.change(ChangeMembers::Batch(self.removal(BTreeSet::from([incarnation])))).await
    }

    /// Voters leave the nodes by themselves once the joint membership ends, and may not leave them before.
    fn removal(&self, gone: BTreeSet<Incarnation>) -> Vec<ChangeMembers<Incarnation, Member>> {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<Incarnation> = metrics.membership_config.voter_ids().collect();
        let (voters, learners): (BTreeSet<_>, BTreeSet<_>) = gone.into_iter().partition(|id| voters.contains(id));
        vec![ChangeMembers::RemoveVoters(voters), ChangeMembers::RemoveNodes(learners)]
    }

    async fn change(&self, change: ChangeMembers<Incarnation, Member>) -> Result<(), ProposeError> {
        // It counts as under way, whatever its size.
        let _passed = self.0.gate.pass(1).await?;
        let change = self.0.openraft.change_membership(change, false);
        match tokio::time::timeout(limits::PROPOSAL_DEADLINE, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(ProposeError::NotLeader),
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
                Err(ProposeError::Refused(error.to_string()))
            }
            Ok(Err(error)) => Err(ProposeError::Unknown(error.to_string())),
            Err(_) => Err(ProposeError::Unknown("no answer in time".into())),
        }
    }

    /// How far a member's log is behind this leader's, in entries; `None` if unknown, as long as it has not answered.
    pub fn lag(&self, incarnation: Incarnation) -> Option<u64> {
        let metrics = self.0.openraft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?.get(&incarnation)?.as_ref()?.index;
        Some(metrics.last_log_index.unwrap_or(0).saturating_sub(matched))
    }

    /// Closes all connections of a member that was removed.
    pub fn evict(&self, incarnation: Incarnation) {
        self.0.transport.evict(incarnation);
    }

    /// Says whether this node may lead for more than an emergency: unsealed and able to audit.
    pub fn set_fit(&self, fit: bool) {
        if self.0.fit.swap(fit, Ordering::SeqCst) != fit {
            self.0.openraft.runtime_config().elect(fit);
            let faulted = self.fault().is_some();
            self.0.transport.set_fitness(Fitness { sealed: !fit, auditless: false, faulted });
        }
    }
}

/// Notices of changes.
pub struct Changes(openraft::type_config::alias::WatchReceiverOf<TypeConfig, openraft::RaftMetrics<TypeConfig>>);

impl Changes {
    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
