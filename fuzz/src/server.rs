//! A whole server in memory, without its sockets: any request may come, none ends in a panic or a 500.

use std::cell::RefCell;
use std::sync::LazyLock;

use holdfast::core::{Client, Core, Error, Operation};
use holdfast::http::{error, response, router};
use holdfast::runtime::Runtime;
use holdfast::server::{Node, in_memory};

use crate::wire;

/// Requests, separated by lines `---`, in the form that [`wire::parse`] reads; each has the root token if it names none.
/// Status 500 and above is a finding, but for 503 and for what the server documents as 5xx.
pub fn request(data: &[u8]) {
    NODE.with_borrow_mut(|slot| {
        let node = slot.get_or_insert_with(Fresh::start);
        for text in split(data).take(REQUESTS_MAX) {
            let Some((parts, body)) = wire::parse(text) else { continue };
            node.serve(parts, &body);
        }
        node.inputs += 1;
        let worn = node.inputs >= INPUTS_MAX || !node.is_usable();
        if let Some(old) = slot.take_if(|_| worn) {
            block_on(old.node.shutdown());
        }
    });
}

/// Runs a future on the one runtime of all targets.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

thread_local! {
    static NODE: RefCell<Option<Fresh>> = const { RefCell::new(None) };
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

/// A server, and how many inputs it has served.
struct Fresh {
    node: Node,
    token: String,
    inputs: usize,
}

impl Fresh {
    fn start() -> Fresh {
        let (node, token) = block_on(in_memory(Runtime::real())).expect("a server in memory");
        Fresh { node, token, inputs: 0 }
    }

    fn serve(&self, mut parts: http::request::Parts, body: &[u8]) {
        if !parts.headers.contains_key("x-vault-token") && !parts.headers.contains_key("authorization") {
            parts.headers.insert("x-vault-token", self.token.parse().expect("a header"));
        }
        let Ok(head) = router::head(&parts) else { return };
        if SPARED.iter().any(|path| head.path.trim_end_matches('/') == *path) {
            return;
        }
        let operation = head.operation;
        let path = head.path.clone();
        let Ok(request) = head.request("id".into(), &parts.headers, body, Client::default()) else { return };
        let core: &Core = self.node.core();
        let status = match block_on(core.handle(&request)) {
            Ok(answer) => response::reply(answer, "id").status,
            Err(Error::Standby) => 503,
            Err(failure) => error::reply(&failure, "id").status,
        };
        assert!(!matches!(status, 500..=502 | 504..), "{status} to {operation:?} {path:?}");
    }

    /// Whether requests still reach anything: an input may have revoked the token or sealed the server.
    fn is_usable(&self) -> bool {
        let (mut parts, ()) =
            http::Request::get("/v1/auth/token/lookup-self").body(()).expect("a request").into_parts();
        parts.headers.insert("x-vault-token", self.token.parse().expect("a header"));
        let Ok(head) = router::head(&parts) else { return false };
        debug_assert_eq!(head.operation, Operation::Read);
        let Ok(request) = head.request("id".into(), &parts.headers, b"", Client::default()) else { return false };
        block_on(self.node.core().handle(&request)).is_ok()
    }
}

/// The parts between lines `---`.
fn split(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let here = rest?;
        let cut = here.windows(5).position(|five| five == b"\n---\n");
        rest = cut.map(|at| &here[at + 5..]);
        Some(cut.map_or(here, |at| &here[..at]))
    })
}

/// These end the server's service, each after a wait; the simulator has scenarios for them.
const SPARED: [&str; 2] = ["sys/seal", "sys/step-down"];

/// Requests of one input.
const REQUESTS_MAX: usize = 8;

/// Inputs of one server: what they leave behind must not grow without end.
const INPUTS_MAX: usize = 2000;
