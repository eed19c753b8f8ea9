//! `sys/key-status` and `sys/rotate`: the keyring's terms.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Ask, settings};
use crate::barrier::BarrierTxn;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::storage::{plain, schema};

const ENABLED: Field =
    Field::new("enabled", Kind::Flag, "Whether the schedule holds; a worn key is replaced in any case.");
const MAX_OPERATIONS: Field =
    Field::new("max_operations", Kind::Integer, "A key is replaced when it has encrypted so many values.");
const SCHEDULE: &[Field] = &[
    ENABLED,
    Field::new("interval", Kind::Duration, "A key is replaced when it is older; 0 is never, else at least 24h."),
    MAX_OPERATIONS,
];
const SCHEDULE_SHOWN: &[Field] =
    &[ENABLED, Field::new("interval", Kind::Any, "Such as 48h0m0s; the number 0 is never."), MAX_OPERATIONS];
const SCHEDULE_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows the schedule.", SCHEDULE_SHOWN),
    Verb::new(Operation::Update, "Changes what is given of the schedule.", &[]),
];
const ROTATE_VERBS: &[Verb] =
    &[Verb::new(Operation::Update, "Adds a key that encrypts what is written from now on.", &[])];

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "key-status",
        about: "The key that encrypts what is written now.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows it.",
            &[
                Field::new("term", Kind::Integer, "Counts the keys."),
                Field::new("install_time", Kind::Text, "Since when it is used."),
                Field::new("encryptions", Kind::Integer, "How many values it has encrypted."),
            ],
        )],
        fields: &[],
    },
    Route { pattern: "rotate", about: "Rotation of the encryption key.", verbs: ROTATE_VERBS, fields: &[] },
    Route { pattern: "rotate/keyring", about: "Rotation of the encryption key.", verbs: ROTATE_VERBS, fields: &[] },
    Route {
        pattern: "rotate/config",
        about: "When the encryption key is replaced without being asked.",
        verbs: SCHEDULE_VERBS,
        fields: SCHEDULE,
    },
    Route {
        pattern: "rotate/keyring/config",
        about: "When the encryption key is replaced without being asked.",
        verbs: SCHEDULE_VERBS,
        fields: SCHEDULE,
    },
];

/// When the encryption key is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    enabled: bool,
    /// Zero: never by age.
    interval: Duration,
    max_operations: u64,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { enabled: true, interval: Duration::ZERO, max_operations: crate::barrier::SEALED_MAX }
    }
}

impl Schedule {
    /// Whether a key of this age that has sealed so many values is to be replaced. What the cipher bears is a bound
    /// whatever the schedule says.
    pub(crate) fn is_due(&self, age: Duration, sealed: u64) -> bool {
        let by_age = !self.interval.is_zero() && age >= self.interval;
        crate::barrier::needs_rotation(sealed) || self.enabled && (by_age || sealed >= self.max_operations)
    }

    /// Takes over what a request gives.
    fn change(&mut self, request: &Request) -> Result<()> {
        if let Some(enabled) = request.flag("enabled")? {
            self.enabled = enabled;
        }
        if let Some(interval) = request.duration("interval")? {
            if !interval.is_zero() && interval < INTERVAL_MIN {
                return Err(Error::invalid("interval must be greater or equal to 24h0m0s"));
            }
            self.interval = interval;
        }
        if let Some(operations) = request.integer("max_operations")? {
            let known = u64::try_from(operations).ok().filter(|operations| OPERATIONS.contains(operations));
            self.max_operations = known.ok_or_else(|| {
                let (least, most) = (OPERATIONS.start(), OPERATIONS.end());
                Error::invalid(format!("max_operations must be in the range [{least},{most}]"))
            })?;
        }
        Ok(())
    }
}

const INTERVAL_MIN: Duration = Duration::from_secs(24 * 3600);

/// What clients may ask for; beyond [`crate::barrier::SEALED_MAX`] that one bounds.
const OPERATIONS: std::ops::RangeInclusive<u64> = 1_000_000..=3_865_470_566;

const SETTING: &str = "rotate";

/// The schedule as a transaction reads it.
pub(crate) async fn schedule(txn: &mut BarrierTxn) -> Result<Schedule> {
    Ok(settings::get(txn, SETTING).await?.unwrap_or_default())
}

async fn read_schedule(txn: &mut BarrierTxn) -> Result<Response> {
    let schedule = schedule(txn).await?;
    let interval = match schedule.interval.is_zero() {
        true => json!(0),
        false => json!(crate::duration::go_text(schedule.interval)),
    };
    let shown = json!({ "enabled": schedule.enabled, "interval": interval, "max_operations": schedule.max_operations });
    Ok(Response::data(shown))
}

async fn write_schedule(ask: Ask<'_>) -> Result<Response> {
    let mut schedule = schedule(ask.txn).await?;
    schedule.change(ask.request)?;
    settings::put(ask.txn, SETTING, &schedule);
    Ok(Response::empty())
}

impl Core {
    /// Serves them.
    pub(super) async fn sys_keys(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.at() {
            ("key-status", _) => self.key_status(ask.unsealed).await,
            ("rotate" | "rotate/keyring", _) => {
                self.rotate(ask.unsealed, ask.txn).await?;
                Ok(Response::empty())
            }
            (_, Operation::Read) => read_schedule(ask.txn).await,
            _ => write_schedule(ask).await,
        }
    }

    async fn key_status(&self, unsealed: &Unsealed) -> Result<Response> {
        let info = unsealed.keyring.info();
        Ok(Response::data(json!({
            "term": info.term,
            "install_time": info.installed.rfc3339(),
            "encryptions": self.sealed_with(info.term).await?,
        }))
        .flat())
    }

    /// Values that the term's key has sealed, as `apply` counted them.
    pub(crate) async fn sealed_with(&self, term: u32) -> Result<u64> {
        let key = schema::key(schema::Kind::SealedCount, &term.to_be_bytes());
        let stored = self.raft.state().get(&key).await?;
        Ok(stored.and_then(|stored| plain::decode::<plain::SealedCount>(&stored.value)).map_or(0, |count| count.0))
    }

    /// Writes a keyring with one more term; nodes take it over when they apply it.
    pub(crate) async fn rotate(&self, unsealed: &Unsealed, txn: &mut BarrierTxn) -> Result<()> {
        let keyring_key = schema::key(schema::Kind::Keyring, b"");
        let stored = txn.below().get(&schema::key(schema::Kind::RootKey, b"")).await?;
        let stored = stored.and_then(|stored| plain::decode::<plain::RootKey>(&stored.value));
        let stored = stored.ok_or_else(|| Error::Internal("the root key's record is unreadable".into()))?;
        let present = txn.below().get(&keyring_key).await?;
        let present = present.and_then(|present| plain::decode::<plain::Keyring>(&present.value));
        // Another rotation came between: a keyring made from the one before it would lose that one's term, and with it
        // all that is sealed by it.
        if present.is_none_or(|present| present.active != unsealed.keyring.active()) {
            return Err(Error::Conflict);
        }
        let (entropy, now) = (&self.runtime.entropy, self.runtime.clock.now());
        // The root key's record stays as it is: nodes open it with the keyring that they have, and with it the new one.
        let (_, record) = crate::barrier::rotate(&unsealed.keyring, &stored, entropy, now)?;
        txn.below().put_plain(keyring_key, plain::encode(&record));
        Ok(())
    }
}
