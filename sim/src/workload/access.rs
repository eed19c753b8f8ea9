//! The workload of tokens, policies, mounts and wrapped answers: clients that make, use, renew and revoke them through
//! random nodes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use super::acts::{Act, Acts, Deed, Terms, Verdict};
use super::deeds::{self, GROW, GROW_TEXT};
use super::history::Phase;
use super::http::{Answer, Http};
use crate::draw::Draw;
use crate::world::Hands;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many clients.
    pub clients: usize,
    /// How many policies.
    pub policies: usize,
    /// How many mounts.
    pub mounts: usize,
    /// Clients choose among so many of the newest tokens, and of the newest wrapped answers; now and then among all.
    pub newest: usize,
    /// How often a token may be used; 0 is any number of times.
    pub uses: Range<u64>,
    /// The life of a token and of a wrapped answer, in whole seconds; a token's longest one is twice that.
    pub ttl: Range<Duration>,
    /// The longest pause of a client between two calls.
    pub pause_max: Duration,
    /// How long a client waits for an answer.
    pub deadline: Duration,
    /// What is done, and how often in relation to the others.
    pub acts: Vec<(Kind, u64)>,
}

/// Kinds of deeds, as scenarios name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the deed of its name")]
pub enum Kind {
    Create,
    Renew,
    Revoke,
    Use,
    SetPolicy,
    Wrap,
    Unwrap,
    Enable,
    Disable,
    Store,
    Load,
}

impl Kind {
    /// The kind of a name.
    pub fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "create" => Kind::Create,
            "renew" => Kind::Renew,
            "revoke" => Kind::Revoke,
            "use" => Kind::Use,
            "set-policy" => Kind::SetPolicy,
            "wrap" => Kind::Wrap,
            "unwrap" => Kind::Unwrap,
            "enable" => Kind::Enable,
            "disable" => Kind::Disable,
            "store" => Kind::Store,
            "load" => Kind::Load,
            _ => return None,
        })
    }
}

/// The token that all others descend from: it has every policy, outlives the run and is revoked in the finale.
pub const STEM: usize = 0;

/// The workload. Clones share history, switches and what is known of tokens.
#[derive(Clone)]
pub struct Access {
    hands: Hands,
    shape: Shape,
    root: Arc<str>,
    acts: Acts,
    pool: Arc<Mutex<Pool>>,
    stop: Arc<AtomicBool>,
}

/// What the clients know together.
#[derive(Default)]
struct Pool {
    /// Ids and terms of the tokens whose creation was acknowledged.
    tokens: BTreeMap<usize, (String, Terms)>,
    /// Wrapping tokens that were handed out.
    wraps: BTreeMap<usize, String>,
    next_token: usize,
    next_wrap: usize,
    next_serial: u64,
}

impl Access {
    /// A workload whose operator has the root token `root`.
    pub fn new(hands: Hands, shape: Shape, root: &str) -> Access {
        let (acts, pool, stop) = Default::default();
        Access { hands, shape, root: root.into(), acts, pool, stop }
    }

    /// What the clients did and saw.
    pub fn acts(&self) -> Vec<Act> {
        self.acts.all()
    }

    /// Writes the policies and secrets and makes the stem, through `node`.
    ///
    /// # Errors
    /// A text if that does not come about.
    pub async fn set_up(&self, http: &Http, node: usize) -> Result<(), String> {
        let grow = json!({ "policy": GROW_TEXT });
        self.must(http, node, &format!("sys/policies/acl/{GROW}"), grow).await?;
        for policy in 0..self.shape.policies {
            self.must(http, node, &deeds::secret_path(policy), json!({ "data": { "secret": policy } })).await?;
            let deed = Deed::SetPolicy { policy, open: true, cas: 0 };
            self.must_act(http, node, deed).await?;
        }
        self.must_act(http, node, self.birth(STEM, None, None, 0, Duration::from_secs(3600))).await
    }

    async fn must(&self, http: &Http, node: usize, path: &str, body: serde_json::Value) -> Result<(), String> {
        let mut said = None;
        for _ in 0..100 {
            said = self.root_call(http, node, Method::POST, path, Some(body.clone())).await;
            if said.as_ref().is_some_and(|answer| answer.status < 300) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{path} was answered by {said:?}"))
    }

    async fn must_act(&self, http: &Http, node: usize, deed: Deed) -> Result<(), String> {
        let act = self.act(http, DRIVER, node, deed, Phase::Load).await;
        if act.is_done() { Ok(()) } else { Err(format!("on a healthy cluster: {act}")) }
    }

    async fn root_call(
        &self,
        http: &Http,
        node: usize,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Option<Answer> {
        let path = format!("/v1/{path}");
        let call = http.call(self.hands.address(node), method, &path, &self.root, body.as_ref());
        tokio::time::timeout(PATIENCE, call).await.ok()?.ok()
    }

    /// Starts the clients.
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        (0..self.shape.clients).map(|client| tokio::spawn(self.clone().client(client))).collect()
    }

    /// Lets each client end after its present call.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    async fn client(self, client: usize) {
        let draw = Draw::new(self.hands.settings().seed, &format!("access client {client}"));
        let http = self.hands.http();
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(draw.duration(&(Duration::ZERO..self.shape.pause_max))).await;
            let node = draw.index(self.hands.nodes().len());
            if let Some(deed) = self.next(&draw, &http, node).await {
                self.act(&http, client, node, deed, Phase::Load).await;
            }
        }
    }

    /// What a client does next; `None` if there is nothing to do it with.
    async fn next(&self, draw: &Draw, http: &Http, node: usize) -> Option<Deed> {
        let mut at = draw.below(self.shape.acts.iter().map(|(_, weight)| weight).sum());
        let (kind, _) = self.shape.acts.iter().find(|(_, weight)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        })?;
        let seconds = Duration::from_secs(draw.duration(&self.shape.ttl).as_secs().max(1));
        let mount = draw.below(self.shape.mounts as u64) as usize;
        Some(match kind {
            Kind::Create => {
                let uses = self.shape.uses.start + draw.below(self.shape.uses.end - self.shape.uses.start);
                // A token of limited uses makes no tokens.
                let from_stem = draw.percent(50) || self.shape.uses.end > 1;
                let parent = if from_stem { STEM } else { self.drawn_token(draw).unwrap_or(STEM) };
                let inherited = self.pool().tokens.get(&parent).and_then(|(_, terms)| terms.policy);
                let policy = inherited.unwrap_or_else(|| draw.index(self.shape.policies));
                let token = self.new_token();
                self.birth(token, Some(parent), Some(policy), uses, seconds)
            }
            Kind::Renew => Deed::Renew { token: self.drawn_token(draw)? },
            Kind::Revoke => Deed::Revoke { token: self.drawn_token(draw)? },
            Kind::Use => {
                let token = self.drawn_token(draw)?;
                let own = self.pool().tokens.get(&token).and_then(|(_, terms)| terms.policy);
                let other = draw.index(self.shape.policies);
                let policy = if draw.percent(75) { own.unwrap_or(other) } else { other };
                Deed::Use { token, policy }
            }
            Kind::SetPolicy => {
                let policy = draw.index(self.shape.policies);
                let path = format!("sys/policies/acl/{}", deeds::policy_name(policy));
                let answer = self.root_call(http, node, Method::GET, &path, None).await?;
                Deed::SetPolicy { policy, open: draw.percent(50), cas: answer.body["data"]["version"].as_u64()? }
            }
            Kind::Wrap => {
                let mut pool = self.pool();
                pool.next_wrap += 1;
                Deed::Wrap { wrap: pool.next_wrap, ttl: seconds }
            }
            Kind::Unwrap => Deed::Unwrap { wrap: self.drawn(draw, |pool| pool.wraps.keys().copied().collect())? },
            Kind::Enable => Deed::Enable { mount },
            Kind::Disable => Deed::Disable { mount },
            Kind::Store => {
                let mut pool = self.pool();
                pool.next_serial += 1;
                Deed::Store { mount, serial: pool.next_serial }
            }
            Kind::Load => Deed::Load { mount },
        })
    }

    fn birth(&self, token: usize, parent: Option<usize>, policy: Option<usize>, uses: u64, ttl: Duration) -> Deed {
        Deed::Create { token, terms: Terms { parent, policy, uses, ttl, max: ttl * 2 } }
    }

    fn new_token(&self) -> usize {
        let mut pool = self.pool();
        pool.next_token += 1;
        pool.next_token
    }

    /// A token below the stem, mostly one of the newest, dead or alive.
    fn drawn_token(&self, draw: &Draw) -> Option<usize> {
        self.drawn(draw, |pool| pool.tokens.keys().copied().filter(|token| *token != STEM).collect())
    }

    fn drawn(&self, draw: &Draw, from: impl Fn(&Pool) -> Vec<usize>) -> Option<usize> {
        let all = from(&self.pool());
        // Old ones too: what should be over is asked for as well.
        let newest = if draw.percent(OLD_PERCENT) { &all } else { &all[all.len().saturating_sub(self.shape.newest)..] };
        (!newest.is_empty()).then(|| newest[draw.index(newest.len())])
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a deed and notes it.
    pub async fn act(&self, http: &Http, client: usize, node: usize, deed: Deed, phase: Phase) -> Act {
        let trace = self.hands.trace();
        let now_ns = || trace.now().as_nanos() as u64;
        let verdict = Verdict::Unknown { why: "in flight".to_string() };
        let act = Act { id: 0, client, node, deed, phase, start_ns: now_ns(), end_ns: u64::MAX, verdict };
        let deed = act.deed.clone();
        let id = self.acts.begin(act);
        let (by, about) = self.ids(&deed);
        let ask = deeds::ask(&deed, &about, self.shape.policies);
        let path = format!("/v1/{}", ask.path);
        let wrap = ask.wrap.map(|ttl| ttl.as_secs().to_string());
        let call = http.call_wrapped(self.hands.address(node), ask.method, &path, &by, ask.body.as_ref(), wrap);
        let deadline = if client == DRIVER { PATIENCE } else { self.shape.deadline };
        let result = tokio::time::timeout(deadline, call).await;
        let verdict = deeds::judge(&deed, &result);
        if let Ok(Ok(answer)) = &result {
            self.learn(&deed, answer);
        }
        trace.event("load", "act", format_args!("{id} c{client}->n{} {deed:?} {verdict:?}", node + 1));
        self.acts.end(id, now_ns(), verdict)
    }

    /// The id of the token that asks, and of the one that is asked about.
    fn ids(&self, deed: &Deed) -> (String, String) {
        let pool = self.pool();
        let id = |token: &usize| pool.tokens.get(token).map_or(String::new(), |(id, _)| id.clone());
        match deed {
            Deed::Unwrap { wrap } => (pool.wraps.get(wrap).cloned().unwrap_or_default(), String::new()),
            Deed::Revoke { token } => (self.root.to_string(), id(token)),
            _ => (deed.by().map_or(self.root.to_string(), |token| id(&token)), String::new()),
        }
    }

    fn learn(&self, deed: &Deed, answer: &Answer) {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_string);
        match deed {
            Deed::Create { token, terms } => {
                if let Some(id) = text(&answer.body["auth"]["client_token"]) {
                    self.pool().tokens.insert(*token, (id, terms.clone()));
                }
            }
            Deed::Wrap { wrap, .. } => {
                if let Some(id) = text(&answer.body["wrap_info"]["token"]) {
                    self.pool().wraps.insert(*wrap, id);
                }
            }
            _ => {}
        }
    }

    /// On a healed cluster each node serves a fresh token, and none the tokens below a stem that was revoked; every record
    /// of them is removed in the end. What fails, as texts; the rest is judged by the checkers.
    pub async fn finale(&self, http: &Http, nodes: &[usize]) -> Vec<String> {
        let mut failed = Vec::new();
        let mut must = |act: Act| {
            if !act.is_done() {
                failed.push(format!("on a healed cluster fails {act}"));
            }
        };
        for policy in 0..self.shape.policies {
            let path = format!("sys/policies/acl/{}", deeds::policy_name(policy));
            let answer = self.root_call(http, nodes[0], Method::GET, &path, None).await;
            let cas = answer.and_then(|answer| answer.body["data"]["version"].as_u64()).unwrap_or(0);
            must(self.act(http, DRIVER, nodes[0], Deed::SetPolicy { policy, open: true, cas }, Phase::Final).await);
        }
        for node in nodes {
            let (token, policy) = (self.new_token(), node % self.shape.policies);
            let birth = self.birth(token, Some(STEM), Some(policy), 0, Duration::from_secs(600));
            must(self.act(http, DRIVER, *node, birth, Phase::Final).await);
            for node in nodes {
                must(self.act(http, DRIVER, *node, Deed::Use { token, policy }, Phase::Final).await);
            }
        }
        must(self.act(http, DRIVER, nodes[0], Deed::Revoke { token: STEM }, Phase::Final).await);
        let known: Vec<(usize, usize)> = {
            let pool = self.pool();
            let newest = pool.tokens.iter().rev().take(nodes.len() + self.shape.newest);
            newest.map(|(token, (_, terms))| (*token, terms.policy.unwrap_or(0))).collect()
        };
        for (at, (token, policy)) in known.into_iter().enumerate() {
            let node = nodes[at % nodes.len()];
            self.act(http, DRIVER, node, Deed::Use { token, policy }, Phase::Final).await;
        }
        failed.extend(self.wait_for_revocations(http, nodes[0]).await.err());
        failed
    }

    /// Waits until only the root token is left; wrapping tokens are nobody's children, and where there are any nobody waits.
    async fn wait_for_revocations(&self, http: &Http, node: usize) -> Result<(), String> {
        if self.shape.acts.iter().any(|(kind, _)| *kind == Kind::Wrap) {
            return Ok(());
        }
        let mut left = 0;
        for _ in 0..400 {
            let path = "auth/token/accessors?list=true";
            let answer = self.root_call(http, node, Method::GET, path, None).await;
            left = answer.and_then(|answer| Some(answer.body["data"]["keys"].as_array()?.len())).unwrap_or(0);
            if left == 1 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{left} tokens are left, although the one that all descend from was revoked"))
    }
}

/// How long the driver, and a client that prepares a write, wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts of the driver.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a client chooses among all tokens or wrapped answers, not only the newest.
const OLD_PERCENT: u64 = 10;
/// The driver's own number as a client.
const DRIVER: usize = 99;
