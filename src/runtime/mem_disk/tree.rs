//! Files and directories by number, with what a power cut can take back of the names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::content::Content;

const ROOT: u64 = 0;

/// All files and directories of one disk.
#[derive(Clone)]
pub(super) struct Tree {
    next: u64,
    files: BTreeMap<u64, Content>,
    dirs: BTreeMap<u64, Dir>,
    /// Renames from one directory to another: one step of the file system's journal, so both ends become durable
    /// together.
    moves: Vec<Move>,
}

#[derive(Clone, Default)]
struct Dir {
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// What changed since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

#[derive(Clone)]
struct Move {
    from: u64,
    to: u64,
    name: String,
    node: u64,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree {
            next: ROOT + 1,
            files: BTreeMap::new(),
            dirs: BTreeMap::from([(ROOT, Dir::default())]),
            moves: Vec::new(),
        }
    }

    pub(super) fn file(&mut self, node: u64) -> Option<&mut Content> {
        self.files.get_mut(&node)
    }

    /// The file at `path`, if there is one.
    pub(super) fn find_file(&self, path: &Path) -> io::Result<Option<u64>> {
        let (dir, name) = self.parent(path)?;
        match self.dirs[&dir].live.get(&name) {
            Some(node) if self.dirs.contains_key(node) => Err(io::ErrorKind::IsADirectory.into()),
            found => Ok(found.copied()),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<u64> {
        let (dir, name) = self.parent(path)?;
        let node = self.new_node();
        self.files.insert(node, Content::default());
        self.change(dir, Change::Link(name, node));
        Ok(node)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let node = *self.dirs[&from_dir].live.get(&from_name).ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = self.dirs[&to_dir].live.get(&to_name) {
            match self.dirs.get(replaced) {
                Some(dir) if !dir.live.is_empty() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
                Some(_) if self.files.contains_key(&node) => return Err(io::ErrorKind::IsADirectory.into()),
                _ => {}
            }
        }
        if from_dir == to_dir {
            self.change(from_dir, Change::Rename(from_name, to_name));
        } else {
            self.change(to_dir, Change::Link(to_name, node));
            self.change(from_dir, Change::Unlink(from_name.clone()));
            self.moves.push(Move { from: from_dir, to: to_dir, name: from_name, node });
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.find_file(path)?.ok_or(io::ErrorKind::NotFound)?;
        let (dir, name) = self.parent(path)?;
        self.change(dir, Change::Unlink(name));
        Ok(())
    }

    /// Removes whatever is at `path`, depth first and by name, as the system calls of a recursive removal do.
    pub(super) fn remove_all(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        };
        let Some(node) = self.dirs[&dir].live.get(&name).copied() else { return Ok(()) };
        self.empty(node);
        self.change(dir, Change::Unlink(name));
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        for name in names(path)? {
            dir = match self.dirs[&dir].live.get(&name) {
                Some(node) if self.dirs.contains_key(node) => *node,
                Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let node = self.new_node();
                    self.dirs.insert(node, Dir::default());
                    self.change(dir, Change::Link(name, node));
                    node
                }
            };
        }
        Ok(())
    }

    /// Name, whether it is a directory, and length.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool, u64)>> {
        let dir = self.dir(path)?;
        let entry = |(name, node): (&String, &u64)| {
            (name.clone(), self.dirs.contains_key(node), self.files.get(node).map_or(0, Content::len))
        };
        Ok(self.dirs[&dir].live.iter().map(entry).collect())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let node = self.dir(path)?;
        let mut synced = BTreeSet::from([node]);
        for moved in &self.moves {
            if moved.from == node || moved.to == node {
                synced.extend([moved.from, moved.to]);
            }
        }
        self.moves.retain(|moved| !synced.contains(&moved.from) && !synced.contains(&moved.to));
        for dir in synced {
            if let Some(dir) = self.dirs.get_mut(&dir) {
                dir.pending.clear();
                dir.durable = dir.live.clone();
            }
        }
        Ok(())
    }

    /// Everything written survives: what the end of the process leaves behind.
    pub(super) fn settle(&mut self) {
        for content in self.files.values_mut() {
            content.sync();
        }
        for dir in self.dirs.values_mut() {
            dir.pending.clear();
            dir.durable = dir.live.clone();
        }
        self.moves.clear();
        self.collect(&BTreeSet::new());
    }

    /// Of what was not synced, keeps and loses what `draw` says: sectors and lengths each by itself, names as a prefix
    /// of the changes of each directory.
    pub(super) fn power_cut(&mut self, draw: &mut dyn FnMut(u64) -> u64) {
        for dir in self.dirs.values_mut() {
            let pending = std::mem::take(&mut dir.pending);
            let kept = if pending.is_empty() { 0 } else { draw(pending.len() as u64 + 1) as usize };
            for change in pending.into_iter().take(kept) {
                change.apply(&mut dir.durable);
            }
        }
        for moved in std::mem::take(&mut self.moves) {
            let named = self.dirs.values().any(|dir| dir.durable.values().any(|node| *node == moved.node));
            if !named && let Some(dir) = self.dirs.get_mut(&moved.from) {
                dir.durable.entry(moved.name).or_insert(moved.node);
            }
        }
        for dir in self.dirs.values_mut() {
            dir.live = dir.durable.clone();
        }
        self.collect(&BTreeSet::new());
        for content in self.files.values_mut() {
            content.power_cut(draw);
        }
    }

    /// Forgets what has no name any more, not even one that a power cut could bring back, and is not open.
    pub(super) fn collect(&mut self, open: &BTreeSet<u64>) {
        let mut reached = open.clone();
        let mut next = vec![ROOT];
        while let Some(node) = next.pop() {
            reached.insert(node);
            let Some(dir) = self.dirs.get(&node) else { continue };
            let pending = dir.pending.iter().filter_map(|change| match change {
                Change::Link(_, node) => Some(node),
                _ => None,
            });
            next.extend(dir.live.values().chain(dir.durable.values()).chain(pending).filter(|n| !reached.contains(n)));
        }
        self.files.retain(|node, _| reached.contains(node));
        self.dirs.retain(|node, _| reached.contains(node));
    }

    /// All files with their absolute paths, sorted.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut next = vec![(ROOT, PathBuf::from("/"))];
        while let Some((node, path)) = next.pop() {
            match self.dirs.get(&node) {
                Some(dir) => next.extend(dir.live.iter().map(|(name, node)| (*node, path.join(name)))),
                None => paths.push(path),
            }
        }
        paths.sort();
        paths
    }

    fn empty(&mut self, node: u64) {
        let Some(dir) = self.dirs.get(&node) else { return };
        for (name, child) in dir.live.clone() {
            self.empty(child);
            self.change(node, Change::Unlink(name));
        }
    }

    fn change(&mut self, dir: u64, change: Change) {
        let dir = self.dirs.get_mut(&dir).expect("a directory that was just found");
        change.clone().apply(&mut dir.live);
        dir.pending.push(change);
    }

    fn new_node(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn dir(&self, path: &Path) -> io::Result<u64> {
        self.walk(names(path)?)
    }

    fn parent(&self, path: &Path) -> io::Result<(u64, String)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.walk(names)?, name))
    }

    fn walk(&self, names: Vec<String>) -> io::Result<u64> {
        names.into_iter().try_fold(ROOT, |dir, name| match self.dirs[&dir].live.get(&name) {
            Some(node) if self.dirs.contains_key(node) => Ok(*node),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Link(name, node) => {
                names.insert(name, node);
            }
            Change::Unlink(name) => {
                names.remove(&name);
            }
            Change::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }
}

/// The parts of a path. A relative one begins at the root: there is no working directory here.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidFilename)?.to_string()),
            Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    Ok(names)
}
