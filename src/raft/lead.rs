//! Who leads: unfit nodes stand only when nobody else does, a caretaker hands over as soon as it can, and a leader steps
//! down only to a voter that has all of the log (cluster-protocol, section 4).

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;

use super::Raft;
use super::types::Incarnation;
use crate::telemetry::Seldom;

/// Election timeouts without a leader after which an unfit node stands although fit ones are about.
const UNFIT_PATIENCE: u32 = 6;

/// Entries that a voter may lack that is to take over: it gets them while new ones wait.
const LAG_MAX: u64 = 1000;

/// Between two looks whether a voter has caught up.
const CATCH_UP_POLL: Duration = Duration::from_millis(5);

impl Raft {
    /// Hands leadership to a fit voter and waits until somebody else leads. New proposals wait meanwhile, so that the
    /// voter comes to have all of the log.
    ///
    /// # Errors
    /// If there is none, or nobody took over in time. If it never had all of the log, this node goes on leading.
    pub async fn step_down(&self) -> Result<(), String> {
        let target = self.successor().ok_or("no other voter is unsealed and up to date")?;
        self.hand_over(target).await
    }

    /// The voter that may lead, answered within the last heartbeats, and lacks the fewest entries.
    fn successor(&self) -> Option<Incarnation> {
        let recent = self.inner().options.timing.heartbeat * 4;
        let own = self.inner().identity.incarnation();
        let peers = self.inner().transport.peers();
        let voters = self.members().into_iter().filter(|member| member.voter && member.incarnation != own);
        let able = voters
            .map(|member| member.incarnation)
            .filter(|id| peers.iter().any(|peer| peer.incarnation == *id && peer.fit && peer.is_recent(recent)));
        let lags = able.filter_map(|id| Some((self.lag(id).filter(|lag| *lag <= LAG_MAX)?, id)));
        lags.min().map(|(_, id)| id)
    }

    async fn hand_over(&self, target: Incarnation) -> Result<(), String> {
        let Some(_closed) = self.inner().gate.close() else {
            self.inner().gate.opened().await;
            return match self.leads() {
                true => Err("another attempt at the same time failed".into()),
                false => Ok(()),
            };
        };
        self.catch_up(target).await?;
        let own = self.inner().identity.incarnation();
        self.inner().openraft.trigger().transfer_leader(target).await.map_err(|error| error.to_string())?;
        let mut changes = self.changes();
        let handed_over = async {
            while self.leader().is_none_or(|leader| leader == own) {
                changes.changed().await;
            }
        };
        let patience = self.inner().options.timing.without_leader() * 2;
        match tokio::time::timeout(patience, handed_over).await {
            Ok(()) => Ok(()),
            Err(_) => Err("nobody took over in time".into()),
        }
    }

    /// With the gate closed: waits until what is under way has been answered and `target` has all of the log.
    async fn catch_up(&self, target: Incarnation) -> Result<(), String> {
        let patience = self.inner().options.timing.without_leader();
        let mut changes = self.changes();
        let caught_up = async {
            // Nothing is answered while the disk is stuck; the others may have it all the same.
            while self.leads() && (self.lag(target) != Some(0) || self.inner().gate.is_busy() && !self.is_stuck()) {
                // Answers are no change of Raft's.
                let _ = tokio::time::timeout(CATCH_UP_POLL, changes.changed()).await;
            }
        };
        let in_time = tokio::time::timeout(patience, caught_up).await.is_ok();
        match self.lag(target) {
            Some(lag) if lag > 0 && !in_time => {
                Err(format!("the best voter still lacked {lag} entries after {patience:?}"))
            }
            _ => Ok(()),
        }
    }

    fn leads(&self) -> bool {
        self.inner().openraft.metrics().borrow_watched().state == ServerState::Leader
    }

    fn is_stuck(&self) -> bool {
        self.inner().log.stuck_for() > self.inner().options.timing.without_leader()
    }

    /// Keeps leadership where it belongs, until the node stops.
    pub async fn mind_leadership(self) {
        let timing = self.inner().options.timing;
        let mut leaderless = Duration::ZERO;
        let stood = Seldom::default();
        loop {
            tokio::time::sleep(timing.heartbeat).await;
            let fit = self.inner().fit.load(Ordering::SeqCst);
            if self.leads() {
                leaderless = Duration::ZERO;
                if (!fit || self.is_stuck() || self.fault().is_some())
                    && !crate::runtime::point::mutant("keep-leadership")
                {
                    self.hand_over_if_possible().await;
                }
            } else if !fit && self.fault().is_none() && self.is_voter() && !self.transport().is_removed() {
                leaderless = self.leaderless(leaderless).await;
                if leaderless > self.patience() {
                    if stood.lets(&self.inner().runtime.clock, "") {
                        tracing::info!(
                            "no leader for {leaderless:?}: this sealed node stands for election as caretaker"
                        );
                    }
                    let _ = self.inner().openraft.trigger().elect(true).await;
                    // Let this election come to its end before the next.
                    tokio::time::sleep(timing.without_leader()).await;
                    leaderless = Duration::ZERO;
                }
            }
        }
    }

    async fn hand_over_if_possible(&self) {
        let Some(target) = self.successor() else { return };
        tracing::info!(target, "handing leadership over");
        if let Err(error) = self.hand_over(target).await {
            tracing::warn!(error, "handing leadership over failed");
            // Proposals are not held back most of the time.
            tokio::time::sleep(self.inner().options.timing.without_leader()).await;
        }
    }

    /// How long there has been no leader, by the last accepted append or vote, which unlike the leader's name expires.
    async fn leaderless(&self, before: Duration) -> Duration {
        let heard = self.inner().openraft.with_raft_state(|state| state.vote_last_modified()).await;
        match heard {
            Ok(Some(at)) => at.elapsed(),
            _ => before + self.inner().options.timing.heartbeat,
        }
    }

    fn patience(&self) -> Duration {
        let timeout = self.inner().options.timing.without_leader();
        let own = self.inner().identity.incarnation();
        let peers = self.inner().transport.peers();
        let fit_is_near =
            self.members().iter().filter(|member| member.voter && member.incarnation != own).any(|member| {
                peers.iter().any(|peer| peer.incarnation == member.incarnation && peer.connected && peer.fit)
            });
        // A sole voter has nobody to wait for; others take turns by their incarnation, which is random.
        let turn = timeout / 8 * u32::try_from(own % 8).unwrap_or(0);
        match (fit_is_near, self.is_alone()) {
            (_, true) => Duration::ZERO,
            (false, _) => timeout + turn,
            (true, _) => timeout * UNFIT_PATIENCE + turn,
        }
    }

    /// Takes a checkpoint whenever the log since the last one is longer than its limit, until the node stops. openraft
    /// purges the log up to it.
    pub async fn mind_log(self) {
        let limit = self.inner().options.checkpoint_log_bytes;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.inner().state.bytes_since_checkpoint() > limit {
                let _ = self.inner().openraft.trigger().snapshot().await;
            }
        }
    }
}
