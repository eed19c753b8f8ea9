//! Standby or active: follows Raft's leadership and the seal, and starts and ends what belongs to a term.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Core, Error, HealthFacts, Result};
use crate::raft::transport::Kind;
use crate::raft::types::Incarnation;
use crate::runtime::UnixTime;
use crate::telemetry::Figure;

/// Longest time that the steps of becoming active may take before they are begun anew.
const ACTIVATION_DEADLINE: Duration = Duration::from_secs(10);

/// Between two attempts to become active.
const ACTIVATION_PAUSE: Duration = Duration::from_millis(20);

impl Core {
    /// Follows leadership and seal until the node stops.
    pub async fn follow_role(self) {
        let mut changes = self.raft.changes();
        loop {
            self.raft.set_fit(self.secrets_now().is_some());
            self.follow_leader_address().await;
            self.follow_removed().await;
            match (self.raft.leading(), self.secrets_now().is_some()) {
                (Some(term), true) if self.active_term.load(Ordering::SeqCst) != term => self.activate(term).await,
                (None, _) | (_, false) => self.deactivate(),
                _ => {}
            }
            // The pause bounds how long a change that sends no notice (an acknowledgement that grew old) goes unseen.
            let _ = tokio::time::timeout(Duration::from_millis(250), changes.changed()).await;
        }
    }

    /// The steps of becoming active in `term`: everything committed before is applied, then the term's work begins.
    async fn activate(&self, term: u64) {
        let steps = async {
            self.linearize().await?;
            self.unsealed().await
        };
        match tokio::time::timeout(ACTIVATION_DEADLINE, steps).await {
            Ok(Ok(_)) if self.raft.leading() == Some(term) => {
                *self.active_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.runtime.clock.now());
                self.active_term.store(term, Ordering::SeqCst);
                tracing::info!(term, "this node is active");
                self.runtime.trace.event("core", format_args!("active term={term}"));
                self.begin_work(term);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(term, %error, "not active yet");
                // The attempt itself changes Raft's figures, which would begin the next one at once, without end.
                tokio::time::sleep(ACTIVATION_PAUSE).await;
            }
            Err(_) => tracing::warn!(term, "becoming active took too long; it begins anew"),
        }
    }

    fn deactivate(&self) {
        if self.active_term.swap(0, Ordering::SeqCst) != 0 {
            tracing::info!("this node is no longer active");
        }
    }

    /// Begins the term's background work. A leadership that was doubted for a moment and is sure again in the same term
    /// leaves no second worker behind.
    fn begin_work(&self, term: u64) {
        let work = tokio::spawn(self.clone().work(term)).abort_handle();
        if let Some(before) = self.work.lock().unwrap_or_else(PoisonError::into_inner).replace(work) {
            before.abort();
        }
    }

    /// Ends what the core does by itself and forgets all keys: the node stops.
    pub fn stop(&self) {
        if let Some(work) = self.work.lock().unwrap_or_else(PoisonError::into_inner).take() {
            work.abort();
        }
        self.drop_held_seal_key();
        self.forget_keys();
    }

    /// Whether this node is the active one: Raft's leader with a fresh quorum, unsealed, its term's steps done.
    pub fn is_active(&self) -> bool {
        self.active_in().is_some()
    }

    /// The term that this node is active in.
    pub(crate) fn active_in(&self) -> Option<u64> {
        let term = self.active_term.load(Ordering::SeqCst);
        (term != 0 && self.is_active_in(term)).then_some(term)
    }

    /// Whether this node is the active one in `term`.
    pub(crate) fn is_active_in(&self, term: u64) -> bool {
        self.active_term.load(Ordering::SeqCst) == term
            && self.raft.leading() == Some(term)
            && self.secrets_now().is_some()
    }

    /// # Errors
    /// [`Error::Standby`] if this node is not the active one.
    pub(crate) fn active(&self) -> Result<()> {
        if self.is_active() { Ok(()) } else { Err(Error::Standby) }
    }

    /// Where this node's clients are sent.
    pub fn api_addr(&self) -> &str {
        &self.settings.api_addr
    }

    /// Since when this node is active; `None` if it is not.
    pub(crate) fn active_since(&self) -> Option<UnixTime> {
        let since = *self.active_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.filter(|_| self.is_active())
    }

    /// Asks a new leader where its clients are to be sent.
    async fn follow_leader_address(&self) {
        let leader = self.raft.leader().filter(|leader| *leader != self.raft.identity().incarnation());
        let known = self.leader_api.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if leader == known.map(|(leader, _)| leader) {
            return;
        }
        let address = match leader {
            None => None,
            Some(leader) => match self.api_address(leader).await {
                Some(address) => Some((leader, address)),
                None => return,
            },
        };
        *self.leader_api.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Where a member's clients are to be sent, as it says itself.
    pub(crate) async fn api_address(&self, member: Incarnation) -> Option<String> {
        if member == self.raft.identity().incarnation() {
            return Some(self.settings.api_addr.clone());
        }
        let asked = self.raft.transport().call(member, Kind::Status, bytes::Bytes::new(), Duration::from_millis(200));
        String::from_utf8(asked.await.ok()?.to_vec()).ok()
    }

    /// API and cluster address of the active node, as far as this node knows; empty if it does not.
    pub(crate) fn leader_addresses(&self) -> (String, String) {
        if self.is_active() {
            return (self.settings.api_addr.clone(), self.settings.cluster_addr.clone());
        }
        let known = self.leader_api.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((leader, api)) if self.raft.leader() == Some(leader) => {
                let members = self.raft.members();
                let member = members.iter().find(|member| member.incarnation == leader);
                (api, member.map_or_else(String::new, |member| format!("https://{}", member.address)))
            }
            _ => (String::new(), String::new()),
        }
    }

    /// What `sys/health` tells.
    pub fn health(&self) -> HealthFacts {
        let secrets = self.secrets_now();
        let fault = self.raft.fault();
        let active = self.is_active();
        HealthFacts {
            initialized: self.is_initialized_now(),
            sealed: secrets.is_none() || fault.is_some(),
            standby: !active,
            performance_standby: false,
            removed: self.is_out(),
            ha_unhealthy: !active && !self.raft.has_leader(),
            dr_secondary: false,
            replication_performance_mode: if secrets.is_some() { "disabled" } else { "unknown" }.into(),
            replication_dr_mode: if secrets.is_some() { "disabled" } else { "unknown" }.into(),
            version: crate::VERSION.into(),
            cluster_name: secrets.as_ref().map_or_else(String::new, |secrets| secrets.cluster.cluster_name.clone()),
            cluster_id: secrets.as_ref().map_or_else(String::new, |secrets| secrets.cluster.cluster_id.clone()),
            reason: fault.or_else(|| self.not_admitted()).unwrap_or_default(),
        }
    }

    /// Why nobody leads here, if the other members do not admit this node.
    fn not_admitted(&self) -> Option<String> {
        if self.raft.has_leader() {
            return None;
        }
        let refusals = self.raft.transport().refusals();
        refusals.first().map(|(peer, reason)| format!("{peer} does not admit this node: {reason}"))
    }

    /// Whether there is a cluster, as far as this node knows without waiting. It never ceases to be one, and its record
    /// leaves the memory of the store when others are read more often.
    fn is_initialized_now(&self) -> bool {
        let key = crate::storage::schema::key(crate::storage::schema::Kind::Init, b"");
        let seen = self.initialized.load(Ordering::SeqCst)
            || matches!(self.raft.state().get_now(&key), Some(Ok(Some(_))))
            || self.secrets_now().is_some();
        self.initialized.fetch_or(seen, Ordering::SeqCst);
        seen || self.joining_seal_config().is_some()
    }

    /// Brings the gauges up to date, for who reads them next.
    pub(crate) fn gauge(&self) {
        let (term, last, applied) = self.raft.progress();
        let metrics = &self.metrics;
        metrics.set_flag(Figure::Unsealed, self.secrets_now().is_some());
        metrics.set_flag(Figure::Active, self.is_active());
        metrics.set_flag(Figure::Initialized, self.is_initialized_now());
        metrics.set_flag(Figure::RaftIsLeader, self.raft.leading().is_some());
        metrics.set_flag(Figure::RaftFaulted, self.raft.fault().is_some());
        metrics.set(Figure::RaftTerm, term as f64);
        metrics.set(Figure::RaftLastIndex, last as f64);
        metrics.set(Figure::RaftAppliedIndex, applied as f64);
        metrics.set(Figure::RaftPeers, self.raft.members().len() as f64);
        metrics.set(Figure::RaftLogBytes, self.raft.log_bytes() as f64);
        if let Some(age) = self.raft.last_contact() {
            metrics.last_contact(age);
        }
        if let Ok(keyring) = self.barrier.keyring() {
            metrics.set(Figure::BarrierTerm, f64::from(keyring.active()));
        }
        // A node of a simulation shares its process with others.
        if !self.runtime.trace.is_on()
            && let Some((resident, total, threads)) = crate::runtime::real::process()
        {
            metrics.set(Figure::RuntimeAllocBytes, resident as f64);
            metrics.set(Figure::RuntimeSysBytes, total as f64);
            metrics.set(Figure::RuntimeThreads, threads as f64);
        }
    }
}
