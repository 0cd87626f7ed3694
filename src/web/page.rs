//! Cursors of keyset pagination, and the `Link` to the next page (RFC 8288).
//!
//! Owns the cursors' text form. Knows neither what is listed nor what a key means.

use http::HeaderValue;

use super::percent;

/// Version of the text form; raised when a key changes its meaning, so that old cursors are
/// refused instead of misread.
const VERSION: u8 = 1;

/// Octets of a key at most; keeps cursors, and the links that hold them, short.
pub const MAX_KEY_BYTES: usize = 32;

/// Octets before the key: version and list.
const HEAD_BYTES: usize = 2;

/// The list that a cursor belongs to. Each list has its own number, so that a cursor taken from
/// one is refused by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List(pub u8);

/// Text that is no cursor of this list and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this list")]
pub struct CursorError;

impl List {
    /// The cursor that continues after `key`: lower-case hexadecimal.
    ///
    /// It carries no secret and no signature. A forged one moves the caller within what the list
    /// shows them anyway.
    pub fn cursor<const N: usize>(self, key: [u8; N]) -> String {
        const { assert!(N <= MAX_KEY_BYTES, "key too long for a cursor") };
        const_hex::encode([&[VERSION, self.0], &key[..]].concat())
    }

    /// The key in `cursor`. Each key has exactly one accepted text.
    pub fn key<const N: usize>(self, cursor: &str) -> Result<[u8; N], CursorError> {
        const { assert!(N <= MAX_KEY_BYTES, "key too long for a cursor") };
        let octets = const_hex::decode(cursor).map_err(|_| CursorError)?;
        // The decoder also takes capitals and a leading 0x.
        if const_hex::encode(&octets) != cursor {
            return Err(CursorError);
        }
        match octets.split_at_checked(HEAD_BYTES) {
            Some(([VERSION, list], key)) if *list == self.0 => key.try_into().map_err(|_| CursorError),
            _ => Err(CursorError),
        }
    }
}

/// Value of the `Link` field that names the next page: `path` with the parameters of `query`,
/// both as sent, and `cursor` in place of theirs.
pub fn next_link(path: &str, query: &str, cursor: &str) -> HeaderValue {
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
    let target = String::from(path) + "?";
    let start = target.len();
    let uri = form_urlencoded::Serializer::for_suffix(target, start)
        .extend_pairs(kept)
        .append_pair("cursor", cursor)
        .finish();
    percent::uri_header("<", &uri, ">; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCOUNTS: List = List(1);
    const ENTRIES: List = List(2);

    #[test]
    fn cursors_are_short_and_plain() {
        assert_eq!(ACCOUNTS.cursor([0, 0xff, 0x1a]), "010100ff1a");
        assert_eq!(ACCOUNTS.cursor([7; MAX_KEY_BYTES]).len(), 68);
    }

    #[test]
    fn a_cursor_of_another_list_version_or_length_is_refused() {
        let cursor = ACCOUNTS.cursor([1, 2, 3]);
        assert_eq!(ACCOUNTS.key(&cursor), Ok([1, 2, 3]));
        assert_eq!(ENTRIES.key::<3>(&cursor), Err(CursorError));
        assert_eq!(ACCOUNTS.key::<2>(&cursor), Err(CursorError));
        assert_eq!(ACCOUNTS.key::<4>(&cursor), Err(CursorError));
        for text in ["", "01", "0201010203", "010101020", "01010102030", "0101010G03", "01010102é"] {
            assert_eq!(ACCOUNTS.key::<3>(text), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn upper_case_is_not_a_second_form() {
        let cursor = ACCOUNTS.cursor([0xab]);
        assert_eq!(ACCOUNTS.key::<1>(&cursor.to_uppercase()), Err(CursorError));
    }

    #[test]
    fn links_keep_the_query_and_replace_the_cursor() {
        let cases = [
            ("/a", "", "</a?cursor=c>; rel=\"next\""),
            ("/a", "limit=2", "</a?limit=2&cursor=c>; rel=\"next\""),
            (
                "/a/%C3%A9",
                "cursor=old&from=2026-01-01T00:00:00Z&cursor=older",
                "</a/%C3%A9?from=2026-01-01T00%3A00%3A00Z&cursor=c>; rel=\"next\"",
            ),
            (
                "/a\"<>",
                "reference=a%26b+%3E\"é",
                "</a%22%3C%3E?reference=a%26b+%3E%22%C3%A9&cursor=c>; rel=\"next\"",
            ),
        ];
        for (path, query, expected) in cases {
            assert_eq!(next_link(path, query, "c"), expected);
        }
    }

    proptest! {
        #[test]
        fn keys_survive(key: [u8; 16], list: u8) {
            let list = List(list);
            prop_assert_eq!(list.key(&list.cursor(key)), Ok(key));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}|0101[0-9a-f]{8}") {
            if let Ok(key) = ACCOUNTS.key::<4>(&text) {
                prop_assert_eq!(ACCOUNTS.cursor(key), text);
            }
        }

        #[test]
        fn any_link_is_a_header(path in "\\PC{0,20}", query in "\\PC{0,20}") {
            let link = next_link(&path, &query, "c");
            prop_assert!(link.to_str().is_ok());
        }
    }
}
