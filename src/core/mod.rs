//! The request pipeline, mount table, seal state, role changes and views.

pub mod error;
pub mod request;
pub mod response;

pub use error::{Error, Result};
pub use request::{Client, Operation, Request};
pub use response::{Auth, Raw, Response, WrapInfo};
