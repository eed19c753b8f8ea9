//! Requests and answers as plain values: no HTTP in them and nothing of a running node. Policies, engines and the core
//! speak in these.

pub mod envelope;
pub mod error;
pub mod request;
pub mod response;
pub mod route;

pub use error::{Error, Result};
pub use request::{Access, Client, Operation, Request};
pub use response::{Auth, Raw, Response, WrapInfo};
pub use route::Route;
