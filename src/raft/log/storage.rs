//! What openraft sees of the log.

use std::fmt::Debug;
use std::io;
use std::ops::{RangeBounds, RangeInclusive};
use std::sync::Arc;

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::Log;
use super::memory::Item;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let memory = self.shared.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last() })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    /// Durable when it returns. On a faulted log the error comes at once.
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.shared.trace(format_args!("vote {vote}"));
        let (reply, answer) = oneshot::channel();
        self.shared.change(|memory| {
            memory.push(Item::Vote(*vote));
            memory.push(Item::Reply(reply));
        });
        answer.await.map_err(|_| io::Error::other("the log has ended"))?
    }

    /// Returns at once; durable with the next group.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut memory = self.shared.memory();
        memory.committed_changed |= memory.committed != committed;
        memory.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.memory().committed)
    }

    /// Returns at once; the entries can be read. `callback` is called when they are durable; never, if the log is
    /// faulted.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.shared.change(|memory| {
            entries.into_iter().try_for_each(|entry| memory.append(entry))?;
            memory.push(Item::Flushed(callback));
            Ok(())
        })
    }

    /// Returns at once; durable with the next group, before whatever is appended after it.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |last| last.index + 1);
        self.shared.trace.event("raft", format_args!("truncate from={from}"));
        self.shared.change(|memory| memory.truncate(last_log_id));
        Ok(())
    }

    /// Returns at once; durable with the next group. Then the files that hold only purged entries are removed.
    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.shared.trace(format_args!("purge upto={log_id}"));
        self.shared.change(|memory| memory.purge(log_id));
        Ok(())
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.shared.read(range, usize::MAX).await
    }

    /// The last vote that is durable.
    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.memory().vote)
    }

    /// At most [`super::Options::read_bytes`], but always one entry.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.shared.read(start..end, self.shared.options.read_bytes).await
    }

    /// Reads piece by piece, each of at most [`super::Options::read_bytes`].
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = super::read::bounds(range);
        let shared = Arc::clone(&self.shared);
        let pieces = stream::unfold(Some(start), move |start| {
            let shared = Arc::clone(&shared);
            async move {
                let start = start?;
                match shared.read(start..end, shared.options.read_bytes).await {
                    Ok(entries) => {
                        let next = entries.last().map(|entry| entry.log_id.index + 1);
                        Some((entries.into_iter().map(Ok).collect(), next))
                    }
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        });
        Box::pin(futures_util::StreamExt::flat_map(pieces, stream::iter))
    }

    /// The last log id of each term in the range.
    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> io::Result<Vec<LogId>> {
        let ids = self.shared.memory().last_of_each_term(range.start().index, range.end().index);
        ids.ok_or_else(|| io::Error::other(format!("the log does not hold all of {range:?}")))
    }
}
