//! `operator raft`: join, list-peers, remove-peer.

use serde_json::{Value, json};

use super::{at_most_one, incorrect};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, data, table};
use crate::client::ApiRequest;
use crate::client::api::RaftPeer;

/// This command groups what operators do with a Raft cluster: join a node, list and remove peers.
#[derive(Debug, clap::Subcommand)]
pub enum Raft {
    /// Join a node to the Raft cluster.
    Join(Join),
    /// Return the Raft peer set.
    ListPeers(ListPeers),
    /// Remove a node from the Raft cluster.
    RemovePeer(RemovePeer),
}

/// `operator raft join`.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// Port of addresses found by auto-join. The default is 8200.
    #[arg(long, value_name = "uint", value_parser = crate::cli::args::integer, hide = true)]
    auto_join_port: Option<i64>,
    /// Scheme of addresses found by auto-join. The default is https.
    #[arg(long, value_name = "string", hide = true)]
    auto_join_scheme: Option<String>,
    /// PEM certificate to verify the leader with, or @file.
    #[arg(long, value_name = "string", default_value = "")]
    leader_ca_cert: String,
    /// PEM certificate to show the leader, or @file.
    #[arg(long, value_name = "string", default_value = "")]
    leader_client_cert: String,
    /// PEM private key of that certificate, or @file.
    #[arg(long, value_name = "string", default_value = "")]
    leader_client_key: String,
    /// Join as a node that does not vote.
    #[arg(long)]
    non_voter: bool,
    /// Keep trying.
    #[arg(long)]
    retry: bool,
    #[arg(value_name = "<leader-api-addr>")]
    args: Vec<String>,
}

/// `operator raft list-peers`. Arguments are ignored.
#[derive(Debug, clap::Args)]
pub struct ListPeers {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `operator raft remove-peer`.
#[derive(Debug, clap::Args)]
pub struct RemovePeer {
    #[arg(value_name = "<server_id>")]
    args: Vec<String>,
}

/// Runs an `operator raft` command.
pub async fn run(context: &Context, raft: Raft) -> Outcome {
    match raft {
        Raft::Join(args) => join(context, args).await,
        Raft::ListPeers(args) => list_peers(context, args).await,
        Raft::RemovePeer(args) => remove_peer(context, args).await,
    }
}

async fn join(context: &Context, join: Join) -> Outcome {
    let target = at_most_one(join.args, "0-1")?.unwrap_or_default().trim().to_string();
    let (auto_join, address) =
        if target.contains("provider=") { (target, String::new()) } else { (String::new(), target) };
    let body = json!({
        "auto_join": auto_join,
        "auto_join_scheme": join.auto_join_scheme.unwrap_or_default(),
        "auto_join_port": join.auto_join_port.unwrap_or(0),
        "leader_api_addr": address,
        "leader_ca_cert": text_or_file(context, &join.leader_ca_cert).await?,
        "leader_client_cert": text_or_file(context, &join.leader_client_cert).await?,
        "leader_client_key": text_or_file(context, &join.leader_client_key).await?,
        "retry": join.retry,
        "non_voter": join.non_voter,
    });
    let client = context.client().await?;
    let answer: Result<Value, Failure> = context.typed(&client, ApiRequest::post("sys/storage/raft/join", body)).await;
    let mut answer = answer.map_err(|failure| failure.context("Error joining the node to the Raft cluster"))?;
    let answer = match answer.get_mut("data") {
        Some(data) if data.is_object() => data.take(),
        _ => answer,
    };
    let joined = answer["joined"].as_bool().unwrap_or(false);
    if context.format != Format::Table {
        return output::structured(context, &json!({ "joined": joined }));
    }
    output::out(&table::key_value(&[("Joined".to_string(), joined.to_string())]));
    Ok(0)
}

async fn text_or_file(context: &Context, text: &str) -> Result<String, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.to_string());
    };
    let bytes = data::read(&context.runtime, path).await;
    let bytes = bytes.map_err(|reason| Failure::local(format!("Failed to parse TLS file: {reason}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::local(format!("{path} is not UTF-8")))
}

async fn list_peers(context: &Context, _list: ListPeers) -> Outcome {
    let client = context.client().await?;
    let answer = context.logical(&client, ApiRequest::get("sys/storage/raft/configuration")).await;
    let answer = answer.map_err(|failure| failure.context("Error reading the raft cluster configuration"))?;
    let Some(answer) = answer else {
        return Err(Failure::server("No raft cluster configuration found"));
    };
    if context.format != Format::Table {
        return output::secret(context, &answer);
    }
    let servers = answer.get("config").and_then(|config| config.get("servers")).cloned().unwrap_or_default();
    let peers: Vec<RaftPeer> = serde_json::from_value(servers)
        .map_err(|error| Failure::server(format!("Error reading the raft cluster configuration: {error}")))?;
    let rows: Vec<Vec<String>> = peers
        .into_iter()
        .map(|peer| {
            let state = if peer.leader { "leader" } else { "follower" };
            vec![peer.node_id, peer.address, state.to_string(), peer.voter.to_string()]
        })
        .collect();
    output::out(&table::table(&["Node", "Address", "State", "Voter"], &rows));
    Ok(0)
}

async fn remove_peer(context: &Context, remove: RemovePeer) -> Outcome {
    let [id] = incorrect(remove.args)?;
    let client = context.client().await?;
    let request = ApiRequest::put("sys/storage/raft/remove-peer", json!({ "server_id": id.trim() }));
    let done = context.send(&client, request).await;
    done.map_err(|failure| failure.context("Error removing the peer from raft cluster"))?;
    output::out("Peer removed successfully!");
    Ok(0)
}
