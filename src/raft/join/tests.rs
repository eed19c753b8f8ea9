use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::granter::Context;
use super::joiner::{Joiner, Opened};
use super::*;
use crate::runtime::Entropy;

struct TestSeal([u8; 32]);

impl SealAccess for TestSeal {
    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        Aes256Gcm::new(&self.0.into()).encrypt(Nonce::from_slice(&[0; 12]), plain).unwrap()
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        Aes256Gcm::new(&self.0.into()).decrypt(Nonce::from_slice(&[0; 12]), sealed).ok()
    }
}

struct World {
    cookie_key: [u8; 32],
    cluster_key: SigningKey,
    cluster_keys: Vec<PublicKey>,
    now: UnixTime,
    members: BTreeMap<Incarnation, Member>,
    connected: BTreeMap<Incarnation, String>,
    removed: Vec<Incarnation>,
    granter_key: PublicKey,
}

const SEAL: TestSeal = TestSeal([5; 32]);

impl World {
    fn new() -> World {
        let cluster_key = SigningKey::from_bytes(&[1; 32]);
        let member = Member { label: "n1".into(), address: "n1:8201".into(), public_key: [11; 32] };
        World {
            cookie_key: [2; 32],
            cluster_keys: vec![cluster_key.verifying_key().to_bytes()],
            cluster_key,
            now: UnixTime(1_000),
            members: BTreeMap::from([(1, member)]),
            connected: BTreeMap::from([(1, "n1:8201".into())]),
            removed: Vec::new(),
            granter_key: [11; 32],
        }
    }

    fn challenge(&self) -> Challenge {
        let seal_config = plain::SealConfig {
            kind: "shamir".into(),
            shares: 5,
            threshold: 3,
            check_key: [6; 32],
            wrapped_root_key: Bytes::from_static(b"wrapped"),
        };
        let init = plain::Init {
            cluster_id: "c".into(),
            cluster_name: "name".into(),
            cluster_keys: self.cluster_keys.clone(),
            created: UnixTime(5),
        };
        let granter = Granter { public_key: self.granter_key, ..Granter::default() };
        let entropy = Entropy::seeded_u64(3);
        let hour = Duration::from_secs(3600);
        granter::challenge(&SEAL, &self.cookie_key, &entropy, self.now, hour, seal_config, init, granter)
    }

    fn grant(&self, answer: &Answer) -> Result<Granted, JoinError> {
        let context = Context {
            cookie_key: &self.cookie_key,
            cluster_id: "c",
            cluster_key: &self.cluster_key,
            cluster_keys: &self.cluster_keys,
            public_key: self.granter_key,
            now: self.now,
            members: &self.members,
            addresses: Vec::new(),
            connected: &|incarnation| self.connected.get(&incarnation).cloned(),
            removed: &|incarnation| self.removed.contains(&incarnation),
        };
        granter::grant(context, answer)
    }
}

fn me() -> Joiner {
    Joiner { incarnation: 7, public_key: [77; 32], label: "n7".into(), cluster_address: "n7:8201".into() }
}

fn answered(world: &World, joiner: &Joiner) -> (Answer, Opened) {
    joiner::answer(&world.challenge(), &SEAL, joiner, world.granter_key).unwrap()
}

#[test]
fn who_can_open_the_seal_joins() {
    let world = World::new();
    let (answer, opened) = answered(&world, &me());
    let granted = world.grant(&answer).unwrap();
    let cluster = joiner::accept(&opened, &granted).unwrap();
    assert_eq!((cluster.id.as_str(), cluster.grant.incarnation, cluster.grant.public_key), ("c", 7, [77; 32]));
    assert_eq!(cluster.keys, world.cluster_keys);
    // Asking again, of another active node or this one, gets the same.
    assert_eq!(world.grant(&answer).unwrap(), granted);
    let mut later = World { granter_key: [22; 32], now: UnixTime(9_000), ..World::new() };
    later.members.insert(7, Member { label: "n7".into(), address: "n7:8201".into(), public_key: [77; 32] });
    let (answer, opened) = joiner::answer(&world.challenge(), &SEAL, &me(), later.granter_key).unwrap();
    let again = later.grant(&answer).unwrap();
    assert_eq!(joiner::accept(&opened, &again).unwrap().grant, cluster.grant);
}

#[test]
fn without_the_seal_nobody_joins_and_nobody_is_believed() {
    let world = World::new();
    let challenge = world.challenge();
    let wrong = joiner::answer(&challenge, &TestSeal([6; 32]), &me(), world.granter_key);
    assert_eq!(wrong.err(), Some(JoinError::Seal));
    // A guess.
    let (answer, opened) = answered(&world, &me());
    let guess = Answer { proof: vec![0; 32], ..answer.clone() };
    assert_eq!(world.grant(&guess), Err(JoinError::Proof));
    // A false target with a cluster key of its own has no proof.
    let mut granted = world.grant(&answer).unwrap();
    let own = SigningKey::from_bytes(&[9; 32]);
    granted.grant = Grant::sign(&own, "c", 7, [77; 32], "n7");
    granted.cluster_keys = vec![own.verifying_key().to_bytes()];
    assert_eq!(joiner::accept(&opened, &granted).err(), Some(JoinError::Proof));
}

#[test]
fn a_relay_gains_nothing() {
    let world = World::new();
    let (answer, opened) = answered(&world, &me());
    // It puts its own key in the place of the joiner's.
    let stolen = Answer { public_key: [66; 32], incarnation: 66, ..answer.clone() };
    assert_eq!(world.grant(&stolen), Err(JoinError::Proof));
    // It has the joiner answer to its own key, as TLS shows it, and passes that on.
    let (for_relay, _) = joiner::answer(&world.challenge(), &SEAL, &me(), [66; 32]).unwrap();
    assert_eq!(world.grant(&for_relay), Err(JoinError::OtherGranter));
    let patched = Answer { granter_key: world.granter_key, ..for_relay };
    assert_eq!(world.grant(&patched), Err(JoinError::Proof));
    // It changes the answer on its way back.
    let granted = world.grant(&answer).unwrap();
    let mut without_member = granted.clone();
    without_member.members.clear();
    assert_eq!(joiner::accept(&opened, &without_member).err(), Some(JoinError::Proof));
    let mut other_keys = granted;
    other_keys.cluster_keys.push([66; 32]);
    assert_eq!(joiner::accept(&opened, &other_keys).err(), Some(JoinError::Proof));
    // The answer to one joiner is no answer to another.
    let other = Joiner { incarnation: 8, public_key: [88; 32], ..me() };
    let (answer, _) = answered(&world, &other);
    assert_eq!(joiner::accept(&opened, &world.grant(&answer).unwrap()).err(), Some(JoinError::Proof));
}

#[test]
fn a_challenge_expires_and_belongs_to_its_cluster() {
    let mut world = World::new();
    let (answer, _) = answered(&world, &me());
    world.now = world.now.plus(Duration::from_secs(3599));
    assert!(world.grant(&answer).is_ok());
    world.now = world.now.plus(Duration::from_secs(1));
    assert_eq!(world.grant(&answer), Err(JoinError::Expired));
    let other = World { cookie_key: [3; 32], ..World::new() };
    assert_eq!(other.grant(&answer), Err(JoinError::Cookie));
}

#[test]
fn present_members_are_not_touched() {
    let mut world = World::new();
    let twin = Joiner { label: "n1".into(), ..me() };
    let (answer, _) = answered(&world, &twin);
    let error = world.grant(&answer).unwrap_err();
    assert!(error.to_string().contains("n1:8201"), "{error}");
    // Once the old one is gone its label may be taken over.
    world.connected.clear();
    assert!(world.grant(&answer).is_ok());
    let (answer, _) = answered(&world, &Joiner { incarnation: 1, ..me() });
    assert_eq!(world.grant(&answer), Err(JoinError::IncarnationInUse));
    world.removed.push(7);
    let (answer, _) = answered(&world, &me());
    assert_eq!(world.grant(&answer), Err(JoinError::Removed));
}

#[test]
fn messages_survive_postcard_and_json() {
    fn round_trip<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
        assert_eq!(&decode::<T>(&encode(message)).unwrap(), message);
        let json = serde_json::to_string(message).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), message);
    }
    let world = World::new();
    let (answer, _) = answered(&world, &me());
    round_trip(&ChallengeRequest { label: "n7".into(), incarnation: u64::MAX });
    round_trip(&world.challenge());
    round_trip(&world.grant(&answer).unwrap());
    assert!(serde_json::to_string(&answer).unwrap().contains("\"proof\":\""));
    round_trip(&answer);
}

proptest! {
    #[test]
    fn any_change_of_an_answer_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let world = World::new();
        let (answer, _) = answered(&world, &me());
        let mut bytes = encode(&answer).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<Answer>(&bytes) && changed != answer {
            prop_assert!(world.grant(&changed).is_err());
        }
    }

    #[test]
    fn any_change_of_what_was_granted_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let world = World::new();
        let (answer, opened) = answered(&world, &me());
        let granted = world.grant(&answer).unwrap();
        let mut bytes = encode(&granted).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<Granted>(&bytes) && changed != granted {
            prop_assert!(joiner::accept(&opened, &changed).is_err());
        }
    }

    #[test]
    fn arbitrary_messages_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<Challenge>(&bytes);
        let _ = decode::<Answer>(&bytes);
        let _ = decode::<Granted>(&bytes);
        let world = World::new();
        let answer = Answer { cookie: bytes, ..answered(&world, &me()).0 };
        prop_assert!(world.grant(&answer).is_err());
    }
}
