//! What one thread sends next, byte for byte: its requests in turn, each with a key of its own. Knows nothing of
//! connections.

use super::keys::Keys;
use crate::plan::{Requests, Template};

/// The requests of one thread, and those that are about to be written.
#[derive(Debug)]
pub(super) struct Outbox {
    templates: Vec<Template>,
    next: usize,
    keys: Keys,
    bytes: Vec<u8>,
}

impl Outbox {
    /// Of thread `index` of `threads`, with keys that begin with `prefix`. Threads begin at different requests, so
    /// that one account of many is not everybody's first.
    pub(super) fn new(requests: &Requests, prefix: u128, index: usize, threads: usize) -> Self {
        Self {
            next: index * requests.0.len() / threads,
            templates: requests.0.clone(),
            keys: Keys::new(prefix, index),
            bytes: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds the next request; true if its reply has no body whatever its head says.
    pub(super) fn add_next(&mut self) -> bool {
        let template = &mut self.templates[self.next];
        if let Some(slot) = template.unique.clone() {
            template.bytes[slot].copy_from_slice(self.keys.next());
        }
        self.bytes.extend_from_slice(&template.bytes);
        let head_only = template.bytes.starts_with(b"HEAD ");
        self.next = (self.next + 1) % self.templates.len();
        head_only
    }

    /// What was added since it was cleared.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{UNIQUE_BYTES, get, post, wire};

    #[test]
    fn requests_take_turns_and_threads_begin_apart() {
        let requests = Requests(vec![get("/a", "h", &[]), wire("HEAD", "/b", "h", &[], b"")]);
        let mut outbox = Outbox::new(&requests, 0, 1, 2);
        let head_only: Vec<_> = (0..3).map(|_| outbox.add_next()).collect();
        assert_eq!(head_only, [true, false, true]);
        assert!(outbox.bytes().starts_with(b"HEAD /b "));
        outbox.clear();
        assert!(outbox.bytes().is_empty());
    }

    #[test]
    fn each_request_has_its_key() {
        let requests = Requests(vec![post("/", "h", &[], b"", Some("Key"))]);
        let mut outbox = Outbox::new(&requests, 7, 0, 1);
        let slot = requests.0[0].unique.clone().unwrap();
        let mut key = || {
            outbox.clear();
            outbox.add_next();
            outbox.bytes()[slot.clone()].to_vec()
        };
        let keys = [key(), key()];
        assert_eq!(keys[0].len(), UNIQUE_BYTES);
        assert_ne!(keys[0], keys[1]);
    }
}
