//! Everything that happens on the cluster port.

pub mod tls;
