use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::*;
use crate::raft::address_book::AddressRecord;
use crate::raft::transport::testing::{cluster_key, enter};
use crate::runtime::Runtime;

struct World {
    _directory: tempfile::TempDir,
    ours: Identity,
    theirs: Identity,
    book: AddressBook,
    removed: BTreeMap<Incarnation, u64>,
    members: BTreeMap<Incarnation, PublicKey>,
}

impl World {
    async fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let ours = Identity::open(&runtime, &directory.path().join("a"), None, "a").await.unwrap();
        let theirs = Identity::open(&runtime, &directory.path().join("b"), None, "b").await.unwrap();
        enter(&ours).await;
        enter(&theirs).await;
        let book = AddressBook::open(&runtime, directory.path()).await.unwrap();
        World { _directory: directory, ours, theirs, book, removed: BTreeMap::new(), members: BTreeMap::new() }
    }

    fn hello(&self, purpose: Purpose) -> Hello {
        let grant = self.theirs.cluster().unwrap().grant;
        let record = AddressRecord::sign(&self.theirs, 0, "b:8201");
        Hello {
            protocol: PROTOCOL,
            purpose,
            label: "b".into(),
            introduction: Introduction {
                incarnation: self.theirs.incarnation(),
                start: Start { counter: self.theirs.counter(), nonce: self.theirs.nonce(), term: 0 },
                last_log: None,
                api_address: String::new(),
                fitness: FitnessReport::default(),
                card: Some(PeerCard { grant, record }),
                book: Vec::new(),
            },
        }
    }

    fn admit(&self, hello: &Hello) -> Result<PeerInfo, Answer> {
        self.admit_with(hello, self.theirs.public_key())
    }

    fn admit_with(&self, hello: &Hello, proven: PublicKey) -> Result<PeerInfo, Answer> {
        let rules = Rules {
            identity: &self.ours,
            book: &self.book,
            removed: &|incarnation| self.removed.get(&incarnation).copied(),
            member_key: &|incarnation| self.members.get(&incarnation).copied(),
        };
        admit(hello, proven, &rules)
    }
}

#[tokio::test]
async fn a_member_with_grant_and_key_comes_in() {
    let world = World::new().await;
    let peer = world.admit(&world.hello(Purpose::Member)).unwrap();
    assert_eq!((peer.incarnation, peer.label.as_str()), (world.theirs.incarnation(), "b"));
    assert_eq!(world.book.address(peer.incarnation).as_deref(), Some("b:8201"));
}

#[tokio::test]
async fn anything_else_than_its_own_grant_is_refused() {
    let world = World::new().await;
    let hello = world.hello(Purpose::Member);
    let refused = |hello: &Hello| match world.admit(hello) {
        Err(Answer::Refused(_)) => {}
        other => panic!("{other:?}"),
    };
    refused(&Hello { protocol: PROTOCOL + 1, ..hello.clone() });
    let with = |change: &dyn Fn(&mut Introduction)| {
        let mut hello = hello.clone();
        change(&mut hello.introduction);
        hello
    };
    refused(&with(&|introduction| introduction.card = None));
    refused(&with(&|introduction| introduction.incarnation ^= 1));
    let forged = Grant::sign(
        &SigningKey::from_bytes(&[66; 32]),
        "c",
        world.theirs.incarnation(),
        world.theirs.public_key(),
        "b",
    );
    refused(&with(&|introduction| introduction.card.as_mut().unwrap().grant = forged.clone()));
    let foreign = Grant::sign(&cluster_key(), "d", world.theirs.incarnation(), world.theirs.public_key(), "b");
    refused(&with(&|introduction| introduction.card.as_mut().unwrap().grant = foreign.clone()));
    // The grant is right and the key that TLS has proved is another one.
    assert!(matches!(world.admit_with(&hello, world.ours.public_key()), Err(Answer::Refused(_))));
}

#[tokio::test]
async fn a_removed_member_gets_the_proof_and_a_copy_none() {
    let mut world = World::new().await;
    let hello = world.hello(Purpose::Member);
    world.admit(&hello).unwrap();
    let mut copy = hello.clone();
    copy.introduction.start.nonce ^= 1;
    assert!(matches!(world.admit(&copy), Err(Answer::Refused(reason)) if reason.contains("wipe it and rejoin")));

    world.removed.insert(world.theirs.incarnation(), 9);
    for purpose in [Purpose::Member, Purpose::Join] {
        let Err(Answer::Removed(removal)) = world.admit(&world.hello(purpose)) else { panic!("admitted") };
        let cluster = world.theirs.cluster().unwrap();
        assert!(removal.verify(&cluster, world.theirs.incarnation()));
        assert!(!removal.verify(&cluster, world.ours.incarnation()));
        assert!(!Removal { index: 10, ..(*removal).clone() }.verify(&cluster, world.theirs.incarnation()));
        assert!(!removal.verify(&Cluster { keys: vec![[3; 32]], ..cluster }, world.theirs.incarnation()));
    }
}

#[tokio::test]
async fn a_join_cannot_touch_a_member() {
    let mut world = World::new().await;
    let mut hello = world.hello(Purpose::Join);
    hello.introduction.card = None;
    assert_eq!(world.admit(&hello).unwrap().purpose, Purpose::Join);
    world.members.insert(world.theirs.incarnation(), world.theirs.public_key());
    assert!(world.admit(&hello).is_ok());
    world.members.insert(world.theirs.incarnation(), [8; 32]);
    assert!(matches!(world.admit(&hello), Err(Answer::Refused(_))));
}

#[tokio::test]
async fn without_a_cluster_everybody_is_told_to_retry() {
    let world = World::new().await;
    world.ours.reset().await.unwrap();
    for purpose in [Purpose::Member, Purpose::Join] {
        assert!(matches!(world.admit(&world.hello(purpose)), Err(Answer::Retry(_))));
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_hellos_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..512)) {
        let _ = decode::<Hello>(&bytes);
        let _ = decode::<Answer>(&bytes);
    }
}
