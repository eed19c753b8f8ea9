//! The TOML schema. A step is written flat, with `do` naming what it does; which keys it may have depends on that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::span::{duration, durations, numbers};
use super::{Action, DiskFault, Scenario, ScenarioError, Step, Who};
use crate::workload::access::{self, Kind};
use crate::workload::kv::Shape;

/// Parses a scenario; `file` is for the errors.
///
/// # Errors
/// [`ScenarioError`] that names file, line and key.
pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let raw: RawScenario = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        ScenarioError(format!("{file}:{line}: {}", error.message().replace('\n', " ")))
    })?;
    Parser { file, text }.scenario(raw)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: String,
    about: String,
    #[serde(default = "three")]
    nodes: Spanned<usize>,
    #[serde(default)]
    bare: bool,
    limit: Option<Spanned<String>>,
    latency_max: Option<Spanned<String>>,
    log_kept: Option<u64>,
    #[serde(default)]
    load: RawLoad,
    access: Option<RawAccess>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
}

fn three() -> Spanned<usize> {
    Spanned::new(0..0, 3)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLoad {
    clients: Option<usize>,
    keys: Option<usize>,
    read_percent: Option<u64>,
    cas_percent: Option<u64>,
    pause_max: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccess {
    clients: Option<usize>,
    policies: Option<usize>,
    mounts: Option<usize>,
    newest: Option<usize>,
    uses: Option<Spanned<String>>,
    ttl: Option<Spanned<String>>,
    pause_max: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
    acts: Spanned<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(rename = "do")]
    kind: Spanned<String>,
    #[serde(rename = "as")]
    bind: Option<Spanned<String>>,
    who: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    to: Option<Spanned<String>>,
    #[serde(rename = "for")]
    span: Option<Spanned<String>>,
    within: Option<Spanned<String>>,
    sealed: Option<Spanned<bool>>,
    loss_percent: Option<Spanned<f64>>,
    latency_max: Option<Spanned<String>>,
    sync: Option<Spanned<String>>,
    calls: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    image: Option<Spanned<String>>,
    times: Option<Spanned<String>>,
    steps: Option<Spanned<Vec<Spanned<RawStep>>>>,
}

struct Parser<'a> {
    file: &'a str,
    text: &'a str,
}

type Parsed<T> = Result<T, ScenarioError>;

impl Parser<'_> {
    fn scenario(&self, raw: RawScenario) -> Parsed<Scenario> {
        let nodes = *raw.nodes.get_ref();
        if !(1..=9).contains(&nodes) {
            return Err(self.error(&raw.nodes, "nodes", "1 to 9 nodes"));
        }
        let or = |text: &Option<Spanned<String>>, key, default: u64| match text {
            Some(text) => self.with(text, key, duration),
            None => Ok(Duration::from_millis(default)),
        };
        let load = Shape {
            clients: raw.load.clients.unwrap_or(3),
            keys: raw.load.keys.unwrap_or(4),
            read_percent: raw.load.read_percent.unwrap_or(40),
            cas_percent: raw.load.cas_percent.unwrap_or(20),
            pause_max: or(&raw.load.pause_max, "pause_max", 80)?,
            deadline: or(&raw.load.deadline, "deadline", 6000)?,
        };
        let access = raw.access.map(|access| self.access(access)).transpose()?;
        let mut names = BTreeSet::new();
        let steps = self.steps(raw.step, nodes, &mut names)?;
        Ok(Scenario {
            name: raw.name,
            about: raw.about,
            nodes,
            bare: raw.bare,
            limit: or(&raw.limit, "limit", 180_000)?,
            latency_max: or(&raw.latency_max, "latency_max", 4)?,
            log_kept: raw.log_kept,
            load,
            access,
            steps,
        })
    }

    fn access(&self, raw: RawAccess) -> Parsed<access::Shape> {
        let or = |text: &Option<Spanned<String>>, key, default: u64| match text {
            Some(text) => self.with(text, key, duration),
            None => Ok(Duration::from_millis(default)),
        };
        let mut acts = Vec::new();
        for (name, weight) in raw.acts.get_ref() {
            let kind = Kind::named(name);
            acts.push((kind.ok_or_else(|| self.error(&raw.acts, name, "no such act"))?, *weight));
        }
        if acts.iter().all(|(_, weight)| *weight == 0) {
            return Err(self.error(&raw.acts, "acts", "at least one act"));
        }
        Ok(access::Shape {
            clients: raw.clients.unwrap_or(4),
            policies: raw.policies.unwrap_or(2).max(1),
            mounts: raw.mounts.unwrap_or(1).max(1),
            newest: raw.newest.unwrap_or(4),
            uses: raw.uses.map_or(Ok(0..1), |text| self.with(&text, "uses", numbers))?,
            ttl: raw.ttl.map_or(Ok(MINUTE..MINUTE), |text| self.with(&text, "ttl", durations))?,
            pause_max: or(&raw.pause_max, "pause_max", 60)?,
            deadline: or(&raw.deadline, "deadline", 6000)?,
            acts,
        })
    }

    fn steps(&self, raw: Vec<Spanned<RawStep>>, nodes: usize, names: &mut BTreeSet<String>) -> Parsed<Vec<Step>> {
        raw.into_iter().map(|step| self.step(step.into_inner(), nodes, names)).collect()
    }

    fn step(&self, mut raw: RawStep, nodes: usize, names: &mut BTreeSet<String>) -> Parsed<Step> {
        let line = line_of(self.text, raw.kind.span().start);
        let kind = raw.kind.get_ref().clone();
        let bind = match raw.bind.take() {
            Some(name) if is_word(name.get_ref()) => {
                return Err(self.error(&name, "as", &format!("`{}` already means something", name.get_ref())));
            }
            name => name.map(Spanned::into_inner),
        };
        let action = match kind.as_str() {
            "repeat" => {
                let times = self.need(raw.times.take(), &raw.kind, "times")?;
                let steps = self.need(raw.steps.take(), &raw.kind, "steps")?.into_inner();
                let steps = self.steps(steps, nodes, names)?;
                Action::Repeat { times: self.with(&times, "times", numbers)?, steps }
            }
            _ => self.action(&kind, &mut raw, nodes, names)?,
        };
        self.nothing_left(&raw)?;
        names.extend(bind.clone());
        Ok(Step { line, action, bind })
    }

    fn action(&self, kind: &str, raw: &mut RawStep, nodes: usize, names: &BTreeSet<String>) -> Parsed<Action> {
        let mut fields = Fields { parser: self, raw, nodes, names };
        Ok(match kind {
            "wait" => Action::Wait(fields.span()?),
            "init" => Action::Init,
            "unseal" => Action::Unseal(fields.who()?),
            "mount" => Action::Mount,
            "start-load" => Action::StartLoad,
            "stop-load" => Action::StopLoad,
            "crash" => Action::Crash(fields.who()?),
            "start" => Action::Start { who: fields.who()?, sealed: fields.sealed() },
            "power-cut" => Action::PowerCut(fields.who()?),
            "pause" => Action::Pause { who: fields.who()?, span: fields.span()? },
            "cut" => Action::Cut { from: fields.from()?, to: fields.to()? },
            "isolate" => Action::Isolate(fields.who()?),
            "heal-links" => Action::HealLinks,
            "degrade" => Action::Degrade {
                who: fields.who()?,
                loss_millionths: fields.loss()?,
                latency_max: fields.latency_max()?,
            },
            "slow-disk" => Action::Disk { who: fields.who()?, fault: DiskFault::SlowSync(fields.sync()?) },
            "stuck-disk" => Action::Disk { who: fields.who()?, fault: DiskFault::StuckSync },
            "failing-disk" => Action::Disk { who: fields.who()?, fault: fields.failing_calls()? },
            "full-disk" => Action::Disk { who: fields.who()?, fault: DiskFault::Full },
            "heal-disk" => Action::HealDisk(fields.who()?),
            "rot" => Action::Rot { who: fields.who()?, path: fields.path()? },
            "wipe" => Action::Wipe(fields.who()?),
            "image" => Action::Image(fields.who()?),
            "restore-image" => Action::RestoreImage(fields.image()?),
            "readdress" => Action::Readdress(fields.who()?),
            "seal" => Action::Seal,
            "step-down" => Action::StepDown,
            "remove-peer" => Action::RemovePeer(fields.who()?),
            "wait-active" => Action::WaitActive(fields.within()?),
            "progress" => Action::Progress { who: fields.who()?, within: fields.within()? },
            "expect-no-active" => Action::ExpectNoActive(fields.span()?),
            "expect-sealed" => Action::ExpectSealed { who: fields.who()?, within: fields.within()? },
            "expect-refusal" => Action::ExpectRefusal { who: fields.who()?, within: fields.within()? },
            "expect-removed" => Action::ExpectRemoved { who: fields.who()?, within: fields.within()? },
            "choose" => Action::Choose(fields.who()?),
            "abandon" => Action::Abandon(fields.who()?),
            _ => return Err(self.error(&fields.raw.kind, "do", &format!("no step is called `{kind}`"))),
        })
    }

    /// Keys that the step did not take.
    fn nothing_left(&self, raw: &RawStep) -> Parsed<()> {
        let kind = raw.kind.get_ref();
        let left = |key: &str, span: Option<Range<usize>>| match span {
            Some(span) => Err(self.error_at(span.start, key, &format!("`{kind}` has no such key"))),
            None => Ok(()),
        };
        let text = |value: &Option<Spanned<String>>| value.as_ref().map(Spanned::span);
        left("who", text(&raw.who))?;
        left("from", text(&raw.from))?;
        left("to", text(&raw.to))?;
        left("for", text(&raw.span))?;
        left("within", text(&raw.within))?;
        left("sealed", raw.sealed.as_ref().map(Spanned::span))?;
        left("loss_percent", raw.loss_percent.as_ref().map(Spanned::span))?;
        left("latency_max", text(&raw.latency_max))?;
        left("sync", text(&raw.sync))?;
        left("calls", text(&raw.calls))?;
        left("path", text(&raw.path))?;
        left("image", text(&raw.image))?;
        left("times", text(&raw.times))?;
        left("steps", raw.steps.as_ref().map(Spanned::span))
    }

    fn need<T>(&self, value: Option<Spanned<T>>, kind: &Spanned<String>, key: &str) -> Parsed<Spanned<T>> {
        value.ok_or_else(|| self.error(kind, key, &format!("`{}` needs it", kind.get_ref())))
    }

    fn with<T>(&self, text: &Spanned<String>, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Parsed<T> {
        parse(text.get_ref()).map_err(|what| self.error(text, key, &what))
    }

    fn error<T>(&self, at: &Spanned<T>, key: &str, what: &str) -> ScenarioError {
        self.error_at(at.span().start, key, what)
    }

    fn error_at(&self, at: usize, key: &str, what: &str) -> ScenarioError {
        ScenarioError(format!("{}:{}: {key}: {what}", self.file, line_of(self.text, at)))
    }
}

/// The keys of one step, each taken once.
struct Fields<'a, 'p> {
    parser: &'a Parser<'p>,
    raw: &'a mut RawStep,
    nodes: usize,
    names: &'a BTreeSet<String>,
}

impl Fields<'_, '_> {
    fn take(&mut self, key: &str, field: impl Fn(&mut RawStep) -> Option<Spanned<String>>) -> Parsed<Spanned<String>> {
        let value = field(self.raw);
        self.parser.need(value, &self.raw.kind, key)
    }

    fn who(&mut self) -> Parsed<Who> {
        let text = self.take("who", |raw| raw.who.take())?;
        self.nodes_of(&text, "who")
    }

    fn from(&mut self) -> Parsed<Who> {
        let text = self.take("from", |raw| raw.from.take())?;
        self.nodes_of(&text, "from")
    }

    fn to(&mut self) -> Parsed<Who> {
        let text = self.take("to", |raw| raw.to.take())?;
        self.nodes_of(&text, "to")
    }

    fn span(&mut self) -> Parsed<Range<Duration>> {
        let text = self.take("for", |raw| raw.span.take())?;
        self.parser.with(&text, "for", durations)
    }

    fn within(&mut self) -> Parsed<Duration> {
        let text = self.take("within", |raw| raw.within.take())?;
        self.parser.with(&text, "within", duration)
    }

    fn sync(&mut self) -> Parsed<Range<Duration>> {
        let text = self.take("sync", |raw| raw.sync.take())?;
        self.parser.with(&text, "sync", durations)
    }

    fn path(&mut self) -> Parsed<String> {
        Ok(self.take("path", |raw| raw.path.take())?.into_inner())
    }

    fn image(&mut self) -> Parsed<String> {
        let text = self.take("image", |raw| raw.image.take())?;
        if self.names.contains(text.get_ref()) {
            return Ok(text.into_inner());
        }
        Err(self.parser.error(&text, "image", "no earlier step has this `as`"))
    }

    fn sealed(&mut self) -> bool {
        self.raw.sealed.take().is_some_and(Spanned::into_inner)
    }

    fn loss(&mut self) -> Parsed<u64> {
        let Some(percent) = self.raw.loss_percent.take() else { return Ok(0) };
        match *percent.get_ref() {
            loss if (0.0..=100.0).contains(&loss) => Ok((loss * 1e4) as u64),
            _ => Err(self.parser.error(&percent, "loss_percent", "0 to 100")),
        }
    }

    fn latency_max(&mut self) -> Parsed<Option<Duration>> {
        let Some(text) = self.raw.latency_max.take() else { return Ok(None) };
        self.parser.with(&text, "latency_max", duration).map(Some)
    }

    fn failing_calls(&mut self) -> Parsed<DiskFault> {
        let text = self.take("calls", |raw| raw.calls.take())?;
        self.parser.with(&text, "calls", |text| match text {
            "sync" => Ok(DiskFault::FailSync),
            "write" => Ok(DiskFault::FailWrite),
            "read" => Ok(DiskFault::FailRead),
            _ => Err("sync, write or read".to_string()),
        })
    }

    fn nodes_of(&self, text: &Spanned<String>, key: &str) -> Parsed<Who> {
        let known = |name: &str| match self.names.contains(name) {
            true => Ok(name.to_string()),
            false => Err(format!("no earlier step has `as = \"{name}\"`")),
        };
        self.parser.with(text, key, |text| match text {
            "all" => Ok(Who::All),
            "leader" => Ok(Who::Leader),
            "follower" => Ok(Who::Follower),
            "any" => Ok(Who::Any),
            _ => match (text.split_once(':'), text.strip_prefix('n').and_then(|number| number.parse::<usize>().ok())) {
                (Some(("others", names)), _) => names.split(',').map(known).collect::<Result<_, _>>().map(Who::Others),
                (Some(("other", names)), _) => names.split(',').map(known).collect::<Result<_, _>>().map(Who::Other),
                (_, Some(number)) if (1..=self.nodes).contains(&number) => Ok(Who::Node(number - 1)),
                (_, Some(_)) => Err(format!("there is no node `{text}`")),
                _ => known(text).map(Who::Bound),
            },
        })
    }
}

/// The life of a token that the scenario says nothing of.
const MINUTE: Duration = Duration::from_secs(60);

/// Words that `who` knows by itself.
fn is_word(name: &str) -> bool {
    let node = name.strip_prefix('n').is_some_and(|number| number.parse::<usize>().is_ok());
    node || name.contains([':', ',']) || matches!(name, "all" | "leader" | "follower" | "any")
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"x\"\nabout = \"y\"\n";

    fn error(rest: &str) -> String {
        parse("x.toml", &format!("{HEAD}{rest}")).expect_err("must not parse").to_string()
    }

    #[test]
    fn a_scenario_parses() {
        let text = "[[step]]\ndo = \"crash\"\nwho = \"leader\"\nas = \"dead\"\n[[step]]\ndo = \"repeat\"\ntimes = \"2..4\"\n\
                    steps = [{ do = \"wait\", for = \"1s..2s\" }, { do = \"start\", who = \"dead\" }]\n";
        let scenario = parse("x.toml", &format!("{HEAD}{text}")).unwrap();
        assert_eq!(scenario.nodes, 3);
        assert_eq!((scenario.steps[0].line, scenario.steps[0].bind.as_deref()), (4, Some("dead")));
        assert!(
            matches!(&scenario.steps[1].action, Action::Repeat { times, steps } if *times == (2..4) && steps.len() == 2)
        );
    }

    #[test]
    fn errors_name_line_and_key() {
        assert!(error("node = 3\n").starts_with("x.toml:3: unknown field `node`"));
        assert_eq!(error("nodes = 12\n"), "x.toml:3: nodes: 1 to 9 nodes");
        assert_eq!(error("[[step]]\ndo = \"fly\"\n"), "x.toml:4: do: no step is called `fly`");
        assert_eq!(error("[[step]]\ndo = \"crash\"\n"), "x.toml:4: who: `crash` needs it");
        let dead = "[[step]]\ndo = \"crash\"\nwho = \"dead\"\n";
        assert_eq!(error(dead), "x.toml:5: who: no earlier step has `as = \"dead\"`");
        let named = "[[step]]\ndo = \"crash\"\nwho = \"any\"\nas = \"leader\"\n";
        assert_eq!(error(named), "x.toml:6: as: `leader` already means something");
        assert_eq!(error("[[step]]\ndo = \"init\"\nwho = \"all\"\n"), "x.toml:5: who: `init` has no such key");
        let hours = "[[step]]\ndo = \"wait\"\nfor = \"3h\"\n";
        assert_eq!(error(hours), "x.toml:5: for: `h` is no unit of time: us, ms, s or m");
        assert_eq!(error("[access]\nacts = { fly = 1 }\n"), "x.toml:4: fly: no such act");
        assert_eq!(error("[access]\nacts = { use = 0 }\n"), "x.toml:4: acts: at least one act");
        assert!(error("[[step]]\ndo = \"wait\"\nfore = \"3s\"\n").starts_with("x.toml:5: unknown field `fore`"));
    }
}
