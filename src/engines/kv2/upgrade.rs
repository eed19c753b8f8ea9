//! What version 1 of the engine kept becomes the first version of a key.

use super::record::{self, Metadata, Version};
use crate::engines::backend::MountTxn;
use crate::runtime::UnixTime;

/// Writes an object of version 1, as it was stored, as the data of a key's first version.
pub(crate) fn put_data(txn: &mut dyn MountTxn, path: &str, object: &[u8]) {
    record::store_object(txn, path, FIRST, object);
}

/// Writes the metadata of a key that has this one version.
pub(crate) fn put_metadata(txn: &mut dyn MountTxn, path: &str, now: UnixTime) {
    let mut metadata = Metadata { current: FIRST, oldest: FIRST, ..Metadata::new(now) };
    metadata.versions.insert(FIRST, Version { created: now, deleted: None, destroyed: false });
    metadata.store(txn, path);
}

const FIRST: u64 = 1;
