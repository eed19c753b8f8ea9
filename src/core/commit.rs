//! Committing a transaction.

use std::sync::Arc;

use super::{Core, Error, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::raft::ProposeError;
use crate::raft::command::{Body, Outcome};
use crate::storage::Txn;
use crate::telemetry::Figure;

impl Core {
    /// A transaction over the state as it is now.
    pub(crate) fn begin(&self, unsealed: &Unsealed) -> BarrierTxn {
        let txn = Txn::new(self.raft.state().clone());
        BarrierTxn::new(txn, Arc::clone(&unsealed.keyring), self.runtime.entropy.clone())
    }

    /// Commits the transaction; does nothing if it wrote nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the read set did not hold, [`Error::Standby`] or [`Error::Unavailable`] if it was
    /// certainly not carried out, [`Error::Unknown`] if nobody can say.
    pub(crate) async fn commit(&self, txn: BarrierTxn) -> Result<()> {
        if txn.is_read_only() {
            return Ok(());
        }
        let body = Body::Batch(txn.into_batch());
        if crate::runtime::point::mutant("answer-before-commit") {
            let core = self.clone();
            tokio::spawn(async move { core.propose(body).await });
            return Ok(());
        }
        self.propose(body).await.map(drop)
    }

    /// Proposes a command and waits until it is applied here; answers whether more is left to do.
    ///
    /// # Errors
    /// As [`Core::commit`]; [`Error::Invalid`] if `apply` refused it.
    pub(crate) async fn propose(&self, body: Body) -> Result<bool> {
        let clock = &self.runtime.clock;
        let begun = clock.boot();
        // In a box: reads, which are most requests, need not carry its two kilobytes along in their futures.
        match Box::pin(self.raft.propose(body)).await {
            Ok(applied) => match applied.outcome {
                Outcome::Done { more } => {
                    let took = clock.boot().saturating_sub(begun);
                    self.metrics.commit(took);
                    self.metrics.observe(Figure::BarrierPut, took);
                    self.metrics.add(Figure::RaftApply, 1);
                    Ok(more)
                }
                Outcome::Conflict { .. } => Err(Error::Conflict),
                Outcome::Refused { reason } => Err(Error::invalid(reason)),
            },
            Err(error) => Err(error.into()),
        }
    }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Error {
        match error {
            ProposeError::NotLeader => Error::Standby,
            ProposeError::TooLarge { .. } => Error::TooLarge,
            ProposeError::Refused(reason) => Error::Unavailable(reason),
            ProposeError::Unknown(reason) => Error::Unknown(reason),
        }
    }
}

/// Where requests wait in line that ran into too many conflicts: one mutex a stripe of contended keys.
pub(crate) struct Line([tokio::sync::Mutex<()>; 16]);

impl Default for Line {
    fn default() -> Line {
        Line(std::array::from_fn(|_| tokio::sync::Mutex::new(())))
    }
}

impl Line {
    /// Waits for the stripe of `path`.
    pub(crate) async fn wait(&self, path: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let stripe = path.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) ^ usize::from(byte));
        self.0[stripe % self.0.len()].lock().await
    }
}
