//! The RocksDB engine. It does its own file I/O, so every call that may touch a file runs in `offload`; only
//! [`Rocks::get_cached`] and a commit with [`Blocking::No`] may be called on a runtime thread.
//!
//! **RocksDB never flushes by itself.** A flush ahead of the log would, after a power cut, leave a state that is newer
//! than its own log. What makes RocksDB flush, and why it does not here:
//! - a full memtable: [`MEMTABLE_LIMIT`] is out of reach, because the state machine flushes each time it has committed
//!   a few MiB (counted by it, with an allowance per pair) and bounds what one commit holds; memory is taken as used;
//! - a write buffer manager or a limit over all databases: none is set; a WAL over its limit: the WAL is off;
//! - closing: `avoid_flush_during_shutdown`; recovery from an error of its own: `max_bgerror_resume_count = 0`;
//! - scans that pass many deletions, range deletions, periodic flushes: off by default, set off where they have a name;
//! - a checkpoint: made only after a flush of ours with nothing committed since.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, ErrorKind, FlushOptions,
    LogLevel, Options, ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use super::Versioned;
use super::engine::{Blocking, Changes, Meta, Visitor};

/// One open generation.
pub(crate) struct Rocks {
    db: DB,
    directory: PathBuf,
    filling: ReadOptions,
    once: ReadOptions,
    cached: ReadOptions,
    unlogged: WriteOptions,
    /// As `unlogged`, for a thread that must not wait while a flush catches up.
    unlogged_now: WriteOptions,
}

impl Rocks {
    /// A new, empty database in `directory`.
    pub(super) fn create(directory: &Path, compaction: bool) -> io::Result<Rocks> {
        let rocks = Rocks::open_with(directory, true, compaction)?;
        rocks.commit(&Changes::new(), &Meta::default(), Blocking::Yes)?;
        rocks.flush(true)?;
        Ok(rocks)
    }

    /// Opens an existing database as it was last flushed.
    pub(super) fn open(directory: &Path, compaction: bool) -> io::Result<Rocks> {
        Rocks::open_with(directory, false, compaction)
    }

    fn open_with(directory: &Path, create: bool, compaction: bool) -> io::Result<Rocks> {
        // RocksDB creates files with 0644 and directories with 0755, minus the umask, and has no setting for it.
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        let error = |error| io_error(directory, error);
        let cache = Cache::new_lru_cache(CACHE);
        let mut options = options(&cache, compaction).map_err(error)?;
        options.create_if_missing(create);
        options.create_missing_column_families(create);
        options.set_error_if_exists(create);
        let db = DB::open_cf_descriptors(&options, directory, families(&cache, compaction).map_err(error)?)
            .map_err(error)?;
        let mut once = ReadOptions::default();
        once.fill_cache(false);
        let mut cached = ReadOptions::default();
        cached.set_read_tier(ReadTier::BlockCache);
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        let mut unlogged_now = WriteOptions::default();
        unlogged_now.disable_wal(true);
        unlogged_now.set_no_slowdown(true);
        Ok(Rocks {
            db,
            directory: directory.to_path_buf(),
            filling: ReadOptions::default(),
            once,
            cached,
            unlogged,
            unlogged_now,
        })
    }

    /// Reads the metadata of the checkpoint in `directory`.
    pub(super) fn checkpoint_meta(directory: &Path) -> io::Result<Meta> {
        let error = |error| io_error(directory, error);
        let cache = Cache::new_lru_cache(0);
        let options = options(&cache, false).map_err(error)?;
        let families = families(&cache, false).map_err(error)?;
        let db = DB::open_cf_descriptors_read_only(&options, directory, families, false).map_err(error)?;
        read_meta(&db, directory)
    }

    pub(super) fn meta(&self) -> io::Result<Meta> {
        read_meta(&self.db, &self.directory)
    }

    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        self.read(key, &self.filling)
    }

    /// As [`Rocks::get`], but nothing that is read for it is kept in the cache.
    pub(super) fn get_once(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        self.read(key, &self.once)
    }

    fn read(&self, key: &[u8], options: &ReadOptions) -> io::Result<Option<Versioned>> {
        match self.db.get_pinned_opt(key, options) {
            Ok(Some(stored)) => Ok(Some(self.decode(&stored)?)),
            Ok(None) => Ok(None),
            Err(error) => Err(io_error(&self.directory, error)),
        }
    }

    /// The value of `key` from memtable and block cache; `None` if a file would have to be read.
    pub(super) fn get_cached(&self, key: &[u8]) -> Option<io::Result<Option<Versioned>>> {
        match self.db.get_pinned_opt(key, &self.cached) {
            Ok(Some(stored)) => Some(self.decode(&stored).map(Some)),
            Ok(None) => Some(Ok(None)),
            Err(error) if error.kind() == ErrorKind::Incomplete => None,
            Err(error) => Some(Err(io_error(&self.directory, error))),
        }
    }

    pub(super) fn visit(&self, from: &[u8], to: &[u8], visitor: &mut Visitor<'_>) -> io::Result<()> {
        let mut read = ReadOptions::default();
        read.set_iterate_lower_bound(from);
        read.set_iterate_upper_bound(to);
        let mut pairs = self.db.raw_iterator_opt(read);
        pairs.seek_to_first();
        while let Some((key, stored)) = pairs.item() {
            let (revision, value) = self.split(stored)?;
            if visitor(key, revision, value) == ControlFlow::Break(()) {
                return Ok(());
            }
            pairs.next();
        }
        pairs.status().map_err(|error| io_error(&self.directory, error))
    }

    pub(super) fn commit(&self, changes: &Changes, meta: &Meta, blocking: Blocking) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        let mut stored = Vec::new();
        for (key, change) in changes {
            match change {
                Some(found) => {
                    stored.clear();
                    stored.extend_from_slice(&found.revision.to_le_bytes());
                    stored.extend_from_slice(&found.value);
                    batch.put(key, &stored);
                }
                None => batch.delete(key),
            }
        }
        batch.put_cf(meta_family(&self.db, &self.directory)?, META_KEY, meta.encode());
        let options = match blocking {
            Blocking::Yes => &self.unlogged,
            Blocking::No => &self.unlogged_now,
        };
        self.db.write_opt(batch, options).map_err(|error| io_error(&self.directory, error))
    }

    /// Flushes both column families as one. Without `wait` the memtables are closed at once, so that later commits are
    /// not part of the flush, and written in the background; a failure then shows in a later call.
    pub(super) fn flush(&self, wait: bool) -> io::Result<()> {
        let data = self.db.cf_handle(DATA).ok_or_else(|| no_family(&self.directory))?;
        let mut flush = FlushOptions::default();
        flush.set_wait(wait);
        let families = [data, meta_family(&self.db, &self.directory)?];
        self.db.flush_cfs_opt(&families, &flush).map_err(|error| io_error(&self.directory, error))
    }

    /// Hard-links the flushed state to `target`, which must not exist.
    pub(super) fn checkpoint(&self, target: &Path) -> io::Result<()> {
        let error = |error| io_error(target, error);
        Checkpoint::new(&self.db).map_err(error)?.create_checkpoint(target).map_err(error)
    }

    fn decode(&self, stored: &[u8]) -> io::Result<Versioned> {
        let (revision, value) = self.split(stored)?;
        Ok(Versioned { revision, value: Bytes::copy_from_slice(value) })
    }

    fn split<'a>(&self, stored: &'a [u8]) -> io::Result<(u64, &'a [u8])> {
        let (revision, value) = stored.split_first_chunk().ok_or_else(|| {
            let message = format!("{}: a stored value without revision", self.directory.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok((u64::from_le_bytes(*revision), value))
    }
}

fn read_meta(db: &DB, directory: &Path) -> io::Result<Meta> {
    let stored = db.get_cf(meta_family(db, directory)?, META_KEY).map_err(|error| io_error(directory, error))?;
    stored.as_deref().and_then(Meta::decode).ok_or_else(|| {
        let message = format!("{}: no state metadata that this build reads", directory.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn meta_family<'a>(db: &'a DB, directory: &Path) -> io::Result<&'a ColumnFamily> {
    db.cf_handle(META).ok_or_else(|| no_family(directory))
}

fn no_family(directory: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: a column family is missing", directory.display()))
}

/// RocksDB's messages name the file at fault where they know it; the directory is always named.
fn io_error(directory: &Path, error: rocksdb::Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Corruption => io::ErrorKind::InvalidData,
        // Only of calls that may not block.
        ErrorKind::Incomplete => io::ErrorKind::WouldBlock,
        ErrorKind::IOError if error.as_ref().contains("No space left") => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{}: {error}", directory.display()))
}

fn options(cache: &Cache, compaction: bool) -> Result<Options, rocksdb::Error> {
    // These two have no setter, and the call starts from defaults, so it comes first.
    let mut options = family_options(cache, "avoid_flush_during_shutdown=true;max_bgerror_resume_count=0", compaction)?;
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    options.set_max_open_files(256);
    options.set_max_background_jobs(2);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1024 * 1024);
    options.set_use_fsync(false);
    Ok(options)
}

fn families(cache: &Cache, compaction: bool) -> Result<[ColumnFamilyDescriptor; 2], rocksdb::Error> {
    let family = |name| Ok(ColumnFamilyDescriptor::new(name, family_options(cache, NO_SCAN_FLUSH, compaction)?));
    Ok([family(DATA)?, family(META)?])
}

fn family_options(cache: &Cache, extra: &str, compaction: bool) -> Result<Options, rocksdb::Error> {
    let mut options = Options::default().get_options_from_string(extra)?;
    let mut table = BlockBasedOptions::default();
    table.set_format_version(TABLE_FORMAT);
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // One key in a thousand is looked for in vain: most keys that are written are new, and a file that is asked for one
    // costs a read on another thread.
    table.set_bloom_filter(15.0, false);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(MEMTABLE_LIMIT);
    options.set_arena_block_size(256 * 1024);
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base(64 * 1024 * 1024);
    options.set_max_bytes_for_level_base(256 * 1024 * 1024);
    options.set_level_zero_file_num_compaction_trigger(4);
    options.set_disable_auto_compactions(!compaction);
    Ok(options)
}

const DATA: &str = "default";
const META: &str = "meta";
const META_KEY: &[u8] = b"meta";

/// Pinned, so that an upgrade of RocksDB does not change what older builds must read.
const TABLE_FORMAT: i32 = 6;

/// Block cache in bytes, for indexes and filters too; taken only as it fills. What is not in it is read on another thread.
const CACHE: usize = 256 * 1024 * 1024;

/// The size at which RocksDB would flush by itself; never reached (see above).
const MEMTABLE_LIMIT: usize = 512 * 1024 * 1024;

const NO_SCAN_FLUSH: &str = "memtable_op_scan_flush_trigger=0;memtable_avg_op_scan_flush_trigger=0";
