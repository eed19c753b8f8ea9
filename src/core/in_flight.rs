//! Requests that are being served, for `sys/in-flight-req`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Client, Operation, Request};
use crate::runtime::UnixTime;
use crate::telemetry::log::without_tokens;

/// All of them.
#[derive(Default)]
pub(crate) struct InFlight(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    requests: BTreeMap<u64, Flight>,
}

/// Kept as it came: few ever ask to see it.
struct Flight {
    id: String,
    begun: UnixTime,
    client: Client,
    path: String,
    operation: Operation,
}

/// A request's place among them; it goes with this value.
pub(crate) struct Place {
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl InFlight {
    /// A request begins.
    pub(crate) fn begin(&self, request: &Request, now: UnixTime) -> Place {
        let flight = Flight {
            id: request.id.clone(),
            begun: now,
            client: request.client.clone(),
            path: request.path.clone(),
            operation: request.operation,
        };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = table.next;
        table.next += 1;
        table.requests.insert(number, flight);
        Place { number, table: Arc::clone(&self.0) }
    }

    /// What the endpoint shows: each by its id.
    pub(crate) fn shown(&self) -> Map<String, Value> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |flight: &Flight| {
            json!({
                "start_time": flight.begun.rfc3339(),
                "client_remote_address": remote(&flight.client),
                // Some clients put a token into a path.
                "request_path": format!("/v1/{}", without_tokens(flight.path.clone())),
                "request_method": method(flight.operation),
                "client_id": "",
            })
        };
        table.requests.values().map(|flight| (flight.id.clone(), shown(flight))).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).requests.remove(&self.number);
    }
}

fn remote(client: &Client) -> String {
    match &*client.address {
        "" => String::new(),
        address if address.contains(':') => format!("[{address}]:{}", client.port),
        address => format!("{address}:{}", client.port),
    }
}

fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Read | Operation::Help => "GET",
        Operation::List => "LIST",
        Operation::Create | Operation::Update => "PUT",
        Operation::Patch => "PATCH",
        Operation::Delete => "DELETE",
    }
}
