//! What many secrets and many tokens cost: latencies of writes with ten thousand keys and with many more, a listing of a
//! large folder, memory for live tokens, and reads while a token with all of its children is revoked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::{JoinSet, LocalSet};

use crate::cluster::Cluster;
use crate::http::{Connection, request};
use crate::load::{self, Kind, Outcome};

/// What was measured.
pub struct Figures {
    /// Keys at the end.
    pub keys: u64,
    /// Writes at one connection with [`FEW`] keys.
    pub few: Outcome,
    /// The same with all keys.
    pub many: Outcome,
    /// Names in the large folder.
    pub names: usize,
    /// The time of one whole listing of it; the middle one of several.
    pub listing: Duration,
    /// Tokens made as children of one.
    pub tokens: u64,
    /// New tokens a second at 16 connections.
    pub token_rate: f64,
    /// Resident memory of the active node that the tokens added, in bytes a token.
    pub bytes_a_token: f64,
    /// Reads at 16 connections before the parent is revoked.
    pub before: Outcome,
    /// The same right after it was revoked.
    pub during: Outcome,
}

/// Measures a cluster with so many keys and tokens.
///
/// # Errors
/// What went wrong, in words.
pub async fn measure(cluster: &Cluster, keys: u64, tokens: u64) -> Result<Figures, String> {
    let active = cluster.active().await?;
    let write =
        |key: u64| request("POST", &format!("secret/data/{}", path(key)), &cluster.token, r#"{"data":{"a":"b"}}"#);
    eprintln!("{FEW} keys");
    each(cluster, active, 64, 0..FEW, &write).await?;
    let few = load::run(cluster, active, Kind::Write, 1, TIME).await?;
    eprintln!("{keys} keys");
    each(cluster, active, 64, FEW..keys, &write).await?;
    let many = load::run(cluster, active, Kind::Write, 1, TIME).await?;

    eprintln!("listings");
    let mut connection = Connection::open(cluster.address(active)).await.map_err(|error| error.to_string())?;
    let list = request("GET", "secret/metadata/many/?list=true", &cluster.token, "");
    let (mut listings, mut names) = (Vec::new(), 0);
    for _ in 0..5 {
        let began = Instant::now();
        let answer = connection.send(&list).await.map_err(|error| error.to_string())?;
        listings.push(began.elapsed());
        let answer: Value = serde_json::from_slice(answer.body).map_err(|error| error.to_string())?;
        names = answer["data"]["keys"].as_array().map_or(0, Vec::len);
    }
    listings.sort();

    eprintln!("{tokens} tokens");
    let parent = request("POST", "auth/token/create", &cluster.token, r#"{"policies":["root"],"ttl":"24h"}"#);
    let answer = connection.send(&parent).await.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(answer.body).map_err(|error| error.to_string())?;
    let parent = answer["auth"]["client_token"].as_str().ok_or("no parent token")?.to_string();
    let memory = |cluster: &Cluster| cluster.memory().get(active).copied().unwrap_or_default();
    let (resident, began) = (memory(cluster), Instant::now());
    let create = request("POST", "auth/token/create", &parent, r#"{"policies":["default"],"ttl":"24h"}"#);
    each(cluster, active, 16, 0..tokens, &|_| create.clone()).await?;
    let token_rate = tokens as f64 / began.elapsed().as_secs_f64();
    let bytes_a_token = memory(cluster).saturating_sub(resident) as f64 / tokens.max(1) as f64;
    load::fill(cluster, active, 16).await?;
    let before = load::run(cluster, active, Kind::Read, 16, TIME).await?;
    let revoke = request("POST", "auth/token/revoke-self", &parent, "");
    connection.send(&revoke).await.map_err(|error| error.to_string())?;
    let during = load::run(cluster, active, Kind::Read, 16, TIME).await?;
    Ok(Figures {
        keys,
        few,
        many,
        names,
        listing: listings[listings.len() / 2],
        tokens,
        token_rate,
        bytes_a_token,
        before,
        during,
    })
}

/// Sends a request for each number over so many connections.
async fn each(
    cluster: &Cluster,
    node: usize,
    connections: u64,
    numbers: std::ops::Range<u64>,
    make: &dyn Fn(u64) -> Vec<u8>,
) -> Result<(), String> {
    // All requests would be a gigabyte: they are made a part at a time.
    let mut from = numbers.start;
    while from < numbers.end {
        let to = numbers.end.min(from + PART);
        let part: Rc<Vec<Vec<u8>>> = Rc::new((from..to).map(make).collect());
        let (local, mut tasks, next) = (LocalSet::new(), JoinSet::new(), Rc::new(Cell::new(0)));
        for _ in 0..connections {
            let (address, part, next) = (cluster.address(node), Rc::clone(&part), Rc::clone(&next));
            tasks.spawn_local_on(
                async move {
                    let mut connection = Connection::open(address).await.map_err(|error| error.to_string())?;
                    while let Some(sent) = part.get(next.replace(next.get() + 1)) {
                        let answer = connection.send(sent).await.map_err(|error| error.to_string())?;
                        if answer.status != 200 {
                            return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
                        }
                    }
                    Ok(())
                },
                &local,
            );
        }
        let all = async {
            while let Some(done) = tasks.join_next().await {
                done.map_err(|error| error.to_string())??;
            }
            Ok::<(), String>(())
        };
        local.run_until(all).await?;
        from = to;
    }
    Ok(())
}

/// The first hundred thousand keys lie in one folder, the others in folders of a thousand.
fn path(key: u64) -> String {
    if key < FOLDER { format!("many/{key}") } else { format!("folders/{}/{key}", key / 1000) }
}

/// Keys of the first measurement.
const FEW: u64 = 10_000;

/// Names in the large folder.
const FOLDER: u64 = 100_000;

/// Requests prepared at a time.
const PART: u64 = 50_000;

/// How long each load lasts.
const TIME: Duration = Duration::from_secs(5);
