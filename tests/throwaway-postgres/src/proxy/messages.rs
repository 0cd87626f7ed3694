//! What a client says to a server, message by message (PostgreSQL documentation, "Message Formats"): enough to know a
//! `COMMIT` when it goes by. Knows no socket.

use std::collections::HashSet;

/// The length of a message counts itself.
const LENGTH_BYTES: usize = 4;
/// Requests before the start-up packet, which is followed by typed messages.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// The first byte of a TLS record of a handshake (RFC 8446, section 5.1). A start-up packet begins with the high byte
/// of a small length.
const TLS_HANDSHAKE: u8 = 22;

/// The client's side of a conversation so far.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    phase: Phase,
    /// Bytes that are no whole message yet.
    pending: Vec<u8>,
    /// Names of prepared statements that commit.
    commits: HashSet<Vec<u8>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    StartUp,
    Typed,
    /// Encrypted: nothing can be told.
    Opaque,
}

/// A whole message, or bytes that nothing is known about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) meaning: Meaning,
}

/// What a message is to a trap.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Makes the server commit once it is sent whole; `ends` when no further message is needed for that.
    Commit {
        ends: bool,
    },
    /// Has the server do what was sent before it (Sync).
    Sync,
    Other,
}

impl Conversation {
    /// Takes what the client has sent; returns the messages that are whole now.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.pending.extend_from_slice(bytes);
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<Message> {
        if self.phase == Phase::StartUp && self.pending.first() == Some(&TLS_HANDSHAKE) {
            self.phase = Phase::Opaque;
        }
        let end = match self.phase {
            Phase::StartUp => self.length_at(0)?,
            Phase::Typed => 1 + self.length_at(1)?,
            Phase::Opaque => self.pending.len(),
        };
        if end == 0 || self.pending.len() < end {
            return None;
        }
        let rest = self.pending.split_off(end);
        let bytes = std::mem::replace(&mut self.pending, rest);
        let meaning = self.meaning(&bytes);
        Some(Message { bytes, meaning })
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        let length = self.pending.get(at..at + LENGTH_BYTES)?.try_into().ok()?;
        Some(usize::try_from(u32::from_be_bytes(length)).ok()?.max(LENGTH_BYTES))
    }

    fn meaning(&mut self, message: &[u8]) -> Meaning {
        match self.phase {
            Phase::StartUp => {
                let code = message.get(LENGTH_BYTES..).and_then(|rest| rest.first_chunk());
                if ![SSL_REQUEST, GSS_REQUEST].map(|code| Some(code.to_be_bytes())).contains(&code.copied()) {
                    self.phase = Phase::Typed;
                }
                Meaning::Other
            }
            Phase::Typed => self.typed(message[0], &message[1 + LENGTH_BYTES..]),
            Phase::Opaque => Meaning::Other,
        }
    }

    fn typed(&mut self, kind: u8, body: &[u8]) -> Meaning {
        let mut strings = body.split(|&byte| byte == 0);
        let mut string = || strings.next().unwrap_or_default();
        match kind {
            b'Q' if commits(string()) => Meaning::Commit { ends: true },
            // Parse: the statement's name, its text.
            b'P' => {
                let (name, text) = (string(), string());
                if commits(text) {
                    self.commits.insert(name.to_vec());
                } else {
                    self.commits.remove(name);
                }
                Meaning::Other
            }
            // Bind: the portal's name, the statement's name.
            b'B' => {
                let (_portal, statement) = (string(), string());
                if self.commits.contains(statement) {
                    Meaning::Commit { ends: false }
                } else {
                    Meaning::Other
                }
            }
            b'S' => Meaning::Sync,
            _ => Meaning::Other,
        }
    }
}

/// Whether one of the statements is a `COMMIT`.
fn commits(sql: &[u8]) -> bool {
    sql.split(|&byte| byte == b';').any(|statement| statement.trim_ascii().eq_ignore_ascii_case(b"commit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(LENGTH_BYTES + body.len()).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn start_up(code: u32) -> Vec<u8> {
        [8u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    fn started() -> Conversation {
        let mut conversation = Conversation::default();
        conversation.hear(&start_up(3 << 16));
        conversation
    }

    fn meanings(messages: &[Message]) -> Vec<&Meaning> {
        messages.iter().map(|message| &message.meaning).collect()
    }

    #[test]
    fn messages_come_out_whole_however_they_are_split() {
        let said = [start_up(SSL_REQUEST), start_up(3 << 16), typed(b'Q', b"select 1\0"), typed(b'S', b"")];
        let all = said.concat();
        for size in 1..all.len() {
            let mut conversation = Conversation::default();
            let heard: Vec<_> = all.chunks(size).flat_map(|part| conversation.hear(part)).collect();
            let bytes: Vec<_> = heard.iter().map(|message| message.bytes.clone()).collect();
            assert_eq!(bytes, said, "in pieces of {size}");
            assert_eq!(heard[3].meaning, Meaning::Sync);
        }
    }

    #[test]
    fn a_simple_query_that_commits_is_known() {
        for (sql, commit) in [
            ("COMMIT", true),
            ("insert into t values (1); commit;", true),
            ("select commit from t", false),
            ("commit prepared 'x'", false),
        ] {
            let heard = started().hear(&typed(b'Q', format!("{sql}\0").as_bytes()));
            assert_eq!(heard[0].meaning == (Meaning::Commit { ends: true }), commit, "{sql}");
        }
    }

    #[test]
    fn a_prepared_commit_counts_when_it_is_bound() {
        let mut conversation = started();
        let parse = typed(b'P', b"s1\0COMMIT\0\0\0");
        let bind = typed(b'B', b"\0s1\0\0\0\0\0\0\0");
        assert_eq!(meanings(&conversation.hear(&parse)), [&Meaning::Other]);
        assert_eq!(meanings(&conversation.hear(&bind)), [&Meaning::Commit { ends: false }]);
        conversation.hear(&typed(b'P', b"s1\0select 1\0\0\0"));
        assert_eq!(meanings(&conversation.hear(&bind)), [&Meaning::Other]);
    }

    #[test]
    fn what_is_encrypted_goes_by_as_it_comes() {
        let mut conversation = Conversation::default();
        conversation.hear(&start_up(SSL_REQUEST));
        let heard = conversation.hear(&[TLS_HANDSHAKE, 3, 1]);
        assert_eq!(heard, [Message { bytes: vec![TLS_HANDSHAKE, 3, 1], meaning: Meaning::Other }]);
    }
}
