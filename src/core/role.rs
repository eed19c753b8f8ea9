//! Standby or active: follows Raft's leadership and the seal, and starts and ends what belongs to a term.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Core, Error, Result};

/// Longest time that the steps of becoming active may take before they are begun anew.
const ACTIVATION_DEADLINE: Duration = Duration::from_secs(10);

impl Core {
    /// Follows leadership and seal until the node stops.
    pub async fn follow_role(self) {
        let mut changes = self.raft.changes();
        loop {
            self.raft.set_fit(self.secrets_now().is_some());
            match (self.raft.leading(), self.secrets_now().is_some()) {
                (Some(term), true) if self.active_term.load(Ordering::SeqCst) != term => self.activate(term).await,
                (None, _) | (_, false) => {
                    if self.active_term.swap(0, Ordering::SeqCst) != 0 {
                        tracing::info!("this node is no longer active");
                    }
                }
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
                self.active_term.store(term, Ordering::SeqCst);
                tracing::info!(term, "this node is active");
                self.runtime.trace.event("core", format_args!("active term={term}"));
                tokio::spawn(self.clone().work(term));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(term, %error, "not active yet"),
            Err(_) => tracing::warn!(term, "becoming active took too long; it begins anew"),
        }
    }

    /// Whether this node is the active one: Raft's leader with a fresh quorum, unsealed, its term's steps done.
    pub fn is_active(&self) -> bool {
        match self.active_term.load(Ordering::SeqCst) {
            0 => false,
            term => self.is_active_in(term),
        }
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
}
