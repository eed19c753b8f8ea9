//! All integration tests: one binary, since each links RocksDB.

mod tidy;
