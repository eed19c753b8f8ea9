//! What a message on the cluster port is for, and how it is carried.

/// The kinds of messages. The numbers are the wire's: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The first frame: who dials and what for.
    Hello = 1,
    /// The answer to it.
    Answer = 2,
    /// Is anyone there? Answered by the connection itself.
    Ping = 3,
    /// One way: the sender's fitness has changed.
    Fitness = 4,
    /// AppendEntries with entries: carried and handled in order.
    Append = 10,
    /// AppendEntries that only shows that the leader lives; never behind entries.
    Heartbeat = 11,
    /// RequestVote.
    Vote = 12,
    /// A vote asked for before the term is raised.
    PreVote = 13,
    /// The leader hands over.
    Transfer = 14,
    /// Which chunks of this snapshot are missing?
    SnapshotBegin = 20,
    /// One chunk.
    SnapshotChunk = 21,
    /// All chunks are there: install it.
    SnapshotFinish = 22,
    /// The leader's commit index, for a linearizable read elsewhere.
    ReadIndex = 30,
    /// A client's request, forwarded to the active node. Never repeated after it may have been sent.
    Forward = 31,
    /// A command handed to the leader. Never repeated after it may have been sent.
    Propose = 32,
    /// How a node is.
    Status = 33,
    /// A joiner asks for a challenge.
    JoinChallenge = 40,
    /// A joiner answers it.
    JoinAnswer = 41,
}

impl Kind {
    /// The kind with that number, if this build knows it.
    pub fn from_u8(number: u8) -> Option<Kind> {
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Which queue of a connection carries it. Within a lane messages keep their order; lanes take turns by chunks, so a
    /// long message holds up nothing but its own lane.
    pub(super) fn lane(self) -> usize {
        match self {
            Kind::Append => 1,
            Kind::Forward | Kind::Propose | Kind::Status | Kind::JoinChallenge | Kind::JoinAnswer => 2,
            Kind::SnapshotBegin | Kind::SnapshotChunk | Kind::SnapshotFinish => 3,
            _ => 0,
        }
    }

    /// Whether requests of this kind are begun in the order in which they were sent, and answered in it, lane by lane.
    pub(super) fn is_ordered(self) -> bool {
        matches!(self, Kind::Append | Kind::Fitness | Kind::SnapshotChunk)
    }

    /// Whether carrying it out twice does no harm, so that a suspect connection may give it up at once.
    pub(super) fn is_idempotent(self) -> bool {
        !matches!(self, Kind::Forward | Kind::Propose | Kind::Transfer | Kind::JoinAnswer)
    }

    /// Whether a node may ask for it that is not a member yet.
    pub(super) fn is_for_joiners(self) -> bool {
        matches!(self, Kind::JoinChallenge | Kind::JoinAnswer)
    }
}

/// How many lanes there are.
pub(super) const LANES: usize = 4;

const ALL: [Kind; 18] = [
    Kind::Hello,
    Kind::Answer,
    Kind::Ping,
    Kind::Fitness,
    Kind::Append,
    Kind::Heartbeat,
    Kind::Vote,
    Kind::PreVote,
    Kind::Transfer,
    Kind::SnapshotBegin,
    Kind::SnapshotChunk,
    Kind::SnapshotFinish,
    Kind::ReadIndex,
    Kind::Forward,
    Kind::Propose,
    Kind::Status,
    Kind::JoinChallenge,
    Kind::JoinAnswer,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_known() {
        for kind in ALL {
            assert_eq!(Kind::from_u8(kind as u8), Some(kind));
            assert!(kind.lane() < LANES);
        }
        assert_eq!(Kind::from_u8(0), None);
    }
}
