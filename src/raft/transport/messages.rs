//! openraft's messages as bytes: postcard, since both ends are one build or agree on a protocol version.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::mux::CallError;

/// Encodes a message.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    postcard::to_allocvec(message).expect("a message always encodes").into()
}

/// Decodes an answer.
///
/// # Errors
/// If the bytes are no such message.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    postcard::from_bytes(bytes).map_err(|error| CallError::Remote(format!("a malformed answer: {error}")))
}

/// Decodes a request.
///
/// # Errors
/// If the bytes are no such message.
pub(super) fn request<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| format!("a malformed request: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Debug;

    use openraft::raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    };
    use openraft::{EntryPayload, Membership};

    use super::*;
    use crate::raft::command::{Batch, Body, Command};
    use crate::raft::types::{Entry, LogId, Member, SnapshotMeta, StoredMembership, TypeConfig, Vote};

    fn round_trip<T: Serialize + DeserializeOwned + Debug>(message: &T) {
        let bytes = encode(message);
        let back: T = decode(&bytes).unwrap();
        assert_eq!(format!("{message:?}"), format!("{back:?}"));
        assert_eq!(encode(&back), bytes);
        for cut in 0..bytes.len() {
            let _ = request::<T>(&bytes[..cut]);
        }
    }

    fn log_id(term: u64, index: u64) -> LogId {
        openraft::LogId { leader_id: term.into(), index }
    }

    fn vote(term: u64, node: u64) -> Vote {
        openraft::Vote {
            leader_id: openraft::impls::leader_id_std::LeaderId { term, voted_for: node },
            committed: true,
        }
    }

    fn membership() -> Membership<u64, Member> {
        let member = |label: &str| Member { label: label.into(), address: "h:8201".into(), public_key: [7; 32] };
        let nodes: BTreeMap<u64, Member> =
            [(1, member("a")), (2, member("b")), (u64::MAX, member("c"))].into_iter().collect();
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2, u64::MAX])], nodes).unwrap()
    }

    #[test]
    fn every_message_survives() {
        let command = Command::encode(&Body::Batch(Batch { epoch: 3, ..Batch::default() }));
        let entries = vec![
            Entry { log_id: log_id(2, 6), payload: EntryPayload::Blank },
            Entry { log_id: log_id(2, 7), payload: EntryPayload::Normal(command) },
            Entry { log_id: log_id(2, 8), payload: EntryPayload::Membership(membership()) },
        ];
        let leader_commit = Some(log_id(2, 6));
        for prev_log_id in [None, Some(log_id(1, 5))] {
            round_trip(&AppendEntriesRequest::<TypeConfig> {
                vote: vote(2, u64::MAX),
                prev_log_id,
                entries: entries.clone(),
                leader_commit,
            });
        }
        for answer in [
            AppendEntriesResponse::<TypeConfig>::Success,
            AppendEntriesResponse::PartialSuccess(Some(log_id(2, 7))),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote(9, 3)),
        ] {
            round_trip(&answer);
        }
        let mut ask = VoteRequest::<TypeConfig>::new(vote(3, 1), Some(log_id(2, 8)));
        ask.leadership_transfer = true;
        round_trip(&ask);
        round_trip(&VoteResponse::<TypeConfig>::new(vote(3, 1), None, true));
        round_trip(&TransferLeaderRequest::<TypeConfig>::new(vote(3, 1), 2, Some(log_id(2, 8))));
        let transfer: TransferLeaderResponse<TypeConfig> = Ok(());
        round_trip(&transfer);
        round_trip(&SnapshotResponse::<TypeConfig>::new(vote(3, 1)));
        let last_membership = StoredMembership::new(Some(log_id(1, 2)), membership());
        round_trip(&SnapshotMeta { last_log_id: Some(log_id(2, 8)), last_membership });
    }
}
