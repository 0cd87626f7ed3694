//! Reads what strace(1) has recorded of a server: what it did to the files of one directory, and the transfers that it
//! acknowledged, in the order in which they happened.
//!
//! The order holds where it matters: a thread goes on only after strace has seen its call, so what one call had to wait
//! for stands before it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::wait_until;

/// The system calls that are recorded: all that change a file or a name, that sync, and that send a reply.
pub(crate) const CALLS: &str = "openat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,\
    ftruncate,fallocate,copy_file_range,unlink,unlinkat,rename,renameat,renameat2,link,linkat,sendto,sendmsg";

/// Files that mean nothing after a power cut: SQLite makes its index of the log anew, and a lock is no content.
const IGNORED: [&str; 2] = ["ledger.db-shm", "ledger.lock"];

/// Where the line about the end of the process is looked for: more than the ends of all its threads take.
const TAIL_BYTES: u64 = 4_096;

/// The start of a reply's head field that names what was made.
const LOCATION: &str = "location: /api/v1/transfers/";

/// Something that matters to what is on the disk, or to who was told what.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// There is such a file from here on.
    Made { path: PathBuf },
    /// A file's content has changed, as far as the running system is concerned.
    Changed { path: PathBuf, change: Change },
    /// A file has a further name.
    Linked { from: PathBuf, to: PathBuf },
    /// A name has gone.
    Removed { path: PathBuf },
    /// A sync begins; what was done before is covered by it.
    SyncBegun { path: PathBuf },
    /// It has come back.
    SyncEnded { path: PathBuf },
    /// A reply with the id of a new transfer leaves.
    Acknowledged(String),
}

/// A change of a file's content.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Written { offset: usize, bytes: Vec<u8> },
    Appended(Vec<u8>),
    Cut { length: usize },
}

/// One line of the record.
struct Line<'a> {
    thread: &'a str,
    name: &'a str,
    /// As it was called with; empty where that stands in an earlier line.
    arguments: &'a str,
    /// Behind the equal sign, once it has come back.
    result: Option<&'a str>,
}

/// Waits until the record at `trace` is whole, and reads it.
pub(super) fn read(trace: &Path, directory: &Path, within: Duration) -> Vec<Event> {
    wait_until(within, || {
        let (first, last) = ends_of(trace);
        // The process itself is the first to be named. The line about its end may be followed by such of its threads.
        let process = first.split(' ').next().unwrap_or_default();
        let is_whole = last.lines().any(|line| is_end_of(process, line));
        if is_whole { Ok(()) } else { Err(last) }
    });
    let text = fs::read_to_string(trace).unwrap();
    let mut reader = Reader { directory, calls: HashMap::new(), events: Vec::new() };
    text.lines().filter_map(Line::parse).for_each(|line| reader.take(&line));
    reader.events
}

fn is_end_of(process: &str, line: &str) -> bool {
    line.split_once(' ').is_some_and(|(id, rest)| id == process && rest.trim_start().starts_with("+++ "))
}

/// The first bytes of a file, and its last lines.
fn ends_of(path: &Path) -> (String, String) {
    let mut file = File::open(path).unwrap();
    let mut first = [0; 64];
    let count = file.read(&mut first).unwrap();
    let start = file.metadata().unwrap().len().saturating_sub(TAIL_BYTES);
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(start)).unwrap();
    file.read_to_end(&mut rest).unwrap();
    let last = String::from_utf8_lossy(&rest).into_owned();
    (String::from_utf8_lossy(&first[..count]).into_owned(), last)
}

struct Reader<'a> {
    directory: &'a Path,
    /// The arguments of calls that have not come back, by thread.
    calls: HashMap<&'a str, &'a str>,
    events: Vec<Event>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (thread, rest) = line.split_once(' ')?;
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            let (name, rest) = rest.split_once(' ')?;
            return Some(Self {
                thread,
                name,
                arguments: "",
                result: rest.rsplit_once(" = ").map(|(_, r)| r),
            });
        }
        let (name, rest) = rest.split_once('(')?;
        if let Some(arguments) = rest.strip_suffix(" <unfinished ...>") {
            return Some(Self { thread, name, arguments, result: None });
        }
        let (arguments, result) = rest.rsplit_once(" = ")?;
        Some(Self { thread, name, arguments, result: Some(result) })
    }
}

impl<'a> Reader<'a> {
    fn take(&mut self, line: &Line<'a>) {
        let arguments = if line.arguments.is_empty() {
            self.calls.remove(line.thread).unwrap_or_default()
        } else {
            self.begin(line.name, line.arguments);
            line.arguments
        };
        match line.result {
            Some(result) if result.starts_with("-1 ") || result.starts_with('?') => {}
            Some(result) => self.end(line.name, arguments, result),
            None => drop(self.calls.insert(line.thread, arguments)),
        }
    }

    /// What counts from the moment of the call.
    fn begin(&mut self, name: &str, arguments: &str) {
        match name {
            "fsync" | "fdatasync" => {
                if let Some(path) = self.descriptor(arguments) {
                    self.events.push(Event::SyncBegun { path });
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                let text = strings(arguments).concat();
                let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
                // Replies that are sent together.
                let ids = text.split(LOCATION).skip(1).filter_map(|rest| rest.split("\r\n").next());
                self.events.extend(ids.map(|id| Event::Acknowledged(id.to_owned())));
            }
            _ => {}
        }
    }

    /// What counts once it has been done.
    fn end(&mut self, name: &str, arguments: &str, result: &str) {
        let number = |text: &str| -> usize { text.trim().trim_end_matches(')').parse().unwrap() };
        let last = || number(arguments.rsplit(',').next().unwrap());
        match name {
            "openat" if arguments.contains("O_CREAT") => {
                let path = self.descriptor(result);
                self.events.extend(path.map(|path| Event::Made { path }));
            }
            "fsync" | "fdatasync" => {
                let path = self.descriptor(arguments);
                self.events.extend(path.map(|path| Event::SyncEnded { path }));
            }
            "pwrite64" => {
                let mut bytes = strings(arguments).concat();
                bytes.truncate(number(result));
                self.change(arguments, Change::Written { offset: last(), bytes });
            }
            "write" => {
                let mut bytes = strings(arguments).concat();
                bytes.truncate(number(result));
                self.change(arguments, Change::Appended(bytes));
            }
            "ftruncate" => self.change(arguments, Change::Cut { length: last() }),
            "unlink" | "unlinkat" => {
                let path = self.paths(arguments).pop();
                self.events.extend(path.map(|path| Event::Removed { path }));
            }
            "link" | "linkat" => {
                if let [from, to] = &*self.paths(arguments) {
                    self.events.push(Event::Linked { from: from.clone(), to: to.clone() });
                }
            }
            "openat" | "sendto" | "sendmsg" => {}
            "writev" if self.descriptor(arguments).is_none() => {}
            other if self.descriptor(arguments).is_none() && self.paths(arguments).is_empty() => {
                assert!(CALLS.contains(other), "{other}");
            }
            other => panic!("{other}({arguments}) changes a file in a way that is not understood"),
        }
    }

    fn change(&mut self, arguments: &str, change: Change) {
        let path = self.descriptor(arguments);
        self.events.extend(path.map(|path| Event::Changed { path, change }));
    }

    /// The file of the directory, or the directory, that the first descriptor of `text` stands for.
    fn descriptor(&self, text: &str) -> Option<PathBuf> {
        let (_, rest) = text.split_once('<')?;
        let (path, rest) = rest.split_once('>')?;
        // A file without a name any more is of no use to anybody after a power cut.
        if rest.starts_with("(deleted)") { None } else { self.ours(decode(path)) }
    }

    /// The paths among the arguments that are of the directory.
    fn paths(&self, arguments: &str) -> Vec<PathBuf> {
        strings(arguments).into_iter().filter_map(|path| self.ours(path)).collect()
    }

    fn ours(&self, path: Vec<u8>) -> Option<PathBuf> {
        let path = PathBuf::from(String::from_utf8(path).ok()?);
        let is_inside = path.parent() == Some(self.directory);
        let is_ignored = IGNORED.iter().any(|name| path.ends_with(name));
        (path == self.directory || (is_inside && !is_ignored)).then_some(path)
    }
}

/// What stands between quotes, decoded.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(decode).collect()
}

/// `\x41\x42` as bytes (`strace -xx`).
fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte - b'a' + 10,
    };
    text.as_bytes().chunks_exact(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}
