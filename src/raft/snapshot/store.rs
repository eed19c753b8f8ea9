//! This node's own checkpoints: `snapshots/<applied index>/files/`, complete once `snapshots/<applied index>/manifest`
//! is there. Only the newest is kept, and older ones while they are being sent.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Checkpoint, FileEntry, Manifest, Origin, hash_file};
use crate::raft::state::Meta;
use crate::raft::state::engine::{Engine, checkpoint_meta, is_checkpoint_file, is_immutable};
use crate::raft::state::home::Home;

/// The checkpoints of one node.
pub(crate) struct Store {
    home: Home,
    kept: Mutex<Kept>,
}

struct Kept {
    newest: Option<Checkpoint>,
    older: Vec<Checkpoint>,
    /// Hashes of files that never change, by generation and name: a checkpoint then reads only what is new.
    hashes: BTreeMap<(u64, String), (u64, [u8; 32])>,
}

/// A checkpoint whose files are on disk and whose manifest is not.
pub(crate) struct Unsealed {
    directory: PathBuf,
    generation: u64,
    /// What it must hold.
    meta: Meta,
}

impl Store {
    /// Finds the newest complete checkpoint and removes whatever else is there. `generation` is the present one, at
    /// applied index `applied`.
    pub(crate) async fn open(home: Home, generation: u64, applied: u64) -> io::Result<Store> {
        let root = home.snapshots();
        let mut newest: Option<Checkpoint> = None;
        let entries = home.disk.list(&root).await?;
        let mut indexes: Vec<u64> = entries.iter().filter_map(|entry| entry.name.parse().ok()).collect();
        indexes.sort_unstable();
        for index in indexes.into_iter().rev() {
            if newest.is_none() {
                newest = load(&home, &root.join(index.to_string())).await?;
            }
        }
        let keep = newest.as_ref().map(|checkpoint| checkpoint.manifest().meta.index().to_string());
        for entry in entries.iter().filter(|entry| Some(&entry.name) != keep.as_ref()) {
            match entry.is_dir {
                true => home.disk.remove_all(&root.join(&entry.name)).await?,
                false => home.disk.remove(&root.join(&entry.name)).await?,
            }
        }
        let mut hashes = BTreeMap::new();
        // A newer checkpoint than the state is one whose installation was cut short: not of this generation.
        if let Some(manifest) = newest.as_ref().map(Checkpoint::manifest).filter(|found| found.meta.index() <= applied)
        {
            for file in manifest.files.iter().filter(|file| is_immutable(&file.name)) {
                hashes.insert((generation, file.name.clone()), (file.len, file.hash));
            }
        }
        Ok(Store { home, kept: Mutex::new(Kept { newest, older: Vec::new(), hashes }) })
    }

    /// The newest checkpoint.
    pub(crate) fn newest(&self) -> Option<Checkpoint> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// Puts the files of a checkpoint of `engine`, whose metadata is `meta`, on disk. The engine has been flushed, and
    /// nothing is committed until this returns.
    pub(crate) async fn take(&self, engine: &Engine, generation: u64, meta: &Meta) -> io::Result<Unsealed> {
        let directory = self.home.snapshots().join(meta.index().to_string());
        self.home.disk.remove_all(&directory).await?;
        self.home.disk.create_dir_all(&directory).await?;
        engine.checkpoint(&self.home, &directory.join(FILES)).await?;
        Ok(Unsealed { directory, generation, meta: meta.clone() })
    }

    /// Hashes the files, writes the manifest and makes the checkpoint the newest. Removes those before it that are not
    /// being sent.
    pub(crate) async fn seal(&self, unsealed: Unsealed) -> io::Result<Checkpoint> {
        let Unsealed { directory, generation, meta: expected } = unsealed;
        let files_dir = directory.join(FILES);
        let meta = checkpoint_meta(&self.home, &files_dir).await?;
        if meta != expected {
            let message = format!("{}: a checkpoint of another state than was flushed", directory.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut files = Vec::new();
        for entry in self.home.disk.list(&files_dir).await? {
            if !entry.is_dir && is_checkpoint_file(self.home.kind, &entry.name) {
                let hash = self.hash(&files_dir, generation, &entry.name, entry.len).await?;
                files.push(FileEntry { name: entry.name, len: entry.len, hash });
            }
        }
        let manifest = Manifest { engine: self.home.kind, meta, files };
        self.home.disk.sync_dir(&files_dir).await?;
        self.home.disk.replace(&directory.join(MANIFEST), manifest.encode()).await?;
        self.home.disk.sync_dir(&self.home.snapshots()).await?;
        let checkpoint = Checkpoint::new(self.home.disk.clone(), files_dir, manifest, Origin::Built);
        self.register(&checkpoint);
        self.remove_unused().await?;
        Ok(checkpoint)
    }

    async fn hash(&self, directory: &Path, generation: u64, name: &str, len: u64) -> io::Result<[u8; 32]> {
        let key = (generation, name.to_string());
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).hashes.get(&key).copied();
        match known {
            Some((known_len, hash)) if known_len == len => Ok(hash),
            _ => {
                let hash = hash_file(&self.home.disk, &directory.join(name), len).await?;
                if is_immutable(name) {
                    self.kept.lock().unwrap_or_else(PoisonError::into_inner).hashes.insert(key, (len, hash));
                }
                Ok(hash)
            }
        }
    }

    fn register(&self, checkpoint: &Checkpoint) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = checkpoint.manifest().meta.index();
        // A snapshot may have been installed while this one was being sealed.
        if kept.newest.as_ref().is_some_and(|newest| newest.manifest().meta.index() > index) {
            kept.older.push(checkpoint.clone());
            return;
        }
        if let Some(before) = kept.newest.replace(checkpoint.clone())
            && before.directory() != checkpoint.directory()
        {
            kept.older.push(before);
        }
        kept.hashes.retain(|(_, name), _| checkpoint.manifest().files.iter().any(|file| file.name == *name));
    }

    async fn remove_unused(&self) -> io::Result<()> {
        let unused: Vec<Checkpoint> = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let (unused, used) = std::mem::take(&mut kept.older).into_iter().partition(Checkpoint::is_last_handle);
            kept.older = used;
            unused
        };
        for checkpoint in unused {
            if let Some(directory) = checkpoint.directory().parent() {
                self.home.disk.remove_all(directory).await?;
            }
        }
        Ok(())
    }
}

/// A complete checkpoint in `directory`; `None` if it is not complete, damaged or not of this engine: a new one can
/// always be made of the state.
async fn load(home: &Home, directory: &Path) -> io::Result<Option<Checkpoint>> {
    let Some(bytes) = home.disk.read_if_exists(&directory.join(MANIFEST)).await? else {
        return Ok(None);
    };
    let manifest = match Manifest::decode(&bytes) {
        Ok(manifest) if manifest.engine == home.kind => manifest,
        Ok(_) => return Ok(None),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "a checkpoint is damaged and removed");
            return Ok(None);
        }
    };
    let files = directory.join(FILES);
    let present: BTreeMap<String, u64> =
        home.disk.list(&files).await?.into_iter().map(|entry| (entry.name, entry.len)).collect();
    if manifest.files.iter().any(|file| present.get(&file.name) != Some(&file.len)) {
        tracing::warn!(directory = %directory.display(), "a checkpoint lacks files and is removed");
        return Ok(None);
    }
    Ok(Some(Checkpoint::new(home.disk.clone(), files, manifest, Origin::Built)))
}

const FILES: &str = "files";
const MANIFEST: &str = "manifest";
