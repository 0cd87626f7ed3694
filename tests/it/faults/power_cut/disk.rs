//! What a disk may hold of a directory when the power goes: of each file what was synced, and any sectors of what was
//! written since; of names those of the last sync of the directory, or later ones. POSIX promises no more (fsync(2)).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::trace::{Change, Event};

/// What a disk writes whole, or not at all, in bytes.
const SECTOR: usize = 512;

/// Files by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// One directory without others in it.
pub(super) struct Disk {
    directory: PathBuf,
    files: Vec<File>,
    /// Places in `files`, by name: as the running system sees them, and as they are surely on the disk.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Names as they were when the sync of the directory that is under way began.
    names_at_sync: BTreeMap<String, usize>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    /// What was done since, in order.
    pending: Vec<Change>,
    /// How much of that the sync that is under way covers.
    covered: usize,
}

impl Disk {
    /// An empty directory.
    pub(super) fn new(directory: &Path) -> Self {
        let (names, synced_names, names_at_sync) = Default::default();
        Self { directory: directory.to_owned(), files: Vec::new(), names, synced_names, names_at_sync }
    }

    /// What happened next.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Made { path } => {
                let (name, place) = (name(path), self.files.len());
                if !self.names.contains_key(&name) {
                    self.files.push(File::default());
                    self.names.insert(name, place);
                }
            }
            Event::Changed { path, change } => self.file(path).pending.push(change.clone()),
            Event::Linked { from, to } => {
                let place = self.names[&name(from)];
                self.names.insert(name(to), place);
            }
            Event::Removed { path } => drop(self.names.remove(&name(path))),
            Event::SyncBegun { path } if *path == self.directory => {
                self.names_at_sync = self.names.clone();
            }
            Event::SyncEnded { path } if *path == self.directory => {
                self.synced_names = self.names_at_sync.clone();
            }
            Event::SyncBegun { path } => {
                let file = self.file(path);
                file.covered = file.pending.len();
            }
            Event::SyncEnded { path } => {
                let file = self.file(path);
                for change in file.pending.drain(..file.covered) {
                    change.apply(&mut file.synced);
                }
                file.covered = 0;
            }
            Event::Acknowledged(_) => {}
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        &mut self.files[self.names[&name(path)]]
    }

    /// As the running system sees it.
    pub(super) fn written(&self) -> Files {
        let content = |(name, place): (&String, &usize)| {
            let file = &self.files[*place];
            let mut content = file.synced.clone();
            file.pending.iter().for_each(|change| change.apply(&mut content));
            (name.clone(), content)
        };
        self.names.iter().map(content).collect()
    }

    /// With nothing that was not synced.
    pub(super) fn synced(&self) -> Files {
        let content = |(name, place): (&String, &usize)| (name.clone(), self.files[*place].synced.clone());
        self.synced_names.iter().map(content).collect()
    }

    /// With some of it, as a seed tells.
    pub(super) fn torn(&self, seed: u64) -> Files {
        let names = if chance(&(seed, self.files.len())) { &self.names } else { &self.synced_names };
        let content = |(name, place): (&String, &usize)| {
            let file = &self.files[*place];
            let mut content = file.synced.clone();
            for (number, change) in file.pending.iter().enumerate() {
                change.tear(&mut content, &(seed, place, number));
            }
            (name.clone(), content)
        };
        names.iter().map(content).collect()
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Written { offset, bytes } => put(content, *offset, bytes),
            Self::Appended(bytes) => content.extend(bytes),
            Self::Cut { length } => content.resize(*length, 0),
        }
    }

    /// Applies some sectors of a write, or any other change perhaps.
    fn tear(&self, content: &mut Vec<u8>, dice: &impl Hash) {
        let Self::Written { offset, bytes } = self else {
            if chance(dice) {
                self.apply(content);
            }
            return;
        };
        let mut begin = 0;
        while begin < bytes.len() {
            let end = bytes.len().min(begin + SECTOR - (offset + begin) % SECTOR);
            if chance(&(dice_of(dice), begin)) {
                put(content, offset + begin, &bytes[begin..end]);
            }
            begin = end;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn dice_of(what: &impl Hash) -> u64 {
    // The same in every run.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// One chance in two.
fn chance(what: &impl Hash) -> bool {
    dice_of(what).is_multiple_of(2)
}
