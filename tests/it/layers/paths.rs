//! Paths as they are written in Rust code, with `use` groups taken apart: enough of a lexer to see names, and
//! no more. Comments and the insides of literals are not code.

use std::iter::Peekable;
use std::vec::IntoIter;

/// A path such as `std::fs::File`, a lone name, or a keyword.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its names in order.
    pub(super) segments: Vec<String>,
}

impl NamedPath {
    /// Whether `name`, one or more segments, stands anywhere in the path.
    pub(super) fn names(&self, name: &str) -> bool {
        let wanted: Vec<_> = name.split("::").collect();
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Separator,
    Open,
    Close,
    Other,
}

type Tokens = Peekable<IntoIter<(usize, Token)>>;

/// Every path in `code`, in order; a group's shared part is repeated for each of its members.
pub(super) fn named_paths(code: &str) -> Vec<NamedPath> {
    let mut tokens = tokens(&without_comments_and_literals(code)).into_iter().peekable();
    let mut paths = Vec::new();
    while let Some((line, token)) = tokens.next() {
        if let Token::Name(name) = token {
            path(&mut tokens, line, vec![name], &mut paths);
        }
    }
    paths
}

/// Reads on from a path's segments so far.
fn path(tokens: &mut Tokens, line: usize, mut segments: Vec<String>, paths: &mut Vec<NamedPath>) {
    while tokens.next_if(|(_, token)| *token == Token::Separator).is_some() {
        match tokens.peek() {
            Some((_, Token::Name(name))) => {
                segments.push(name.clone());
                tokens.next();
            }
            Some((_, Token::Open)) => {
                tokens.next();
                return group(tokens, &segments, paths);
            }
            Some((_, Token::Separator | Token::Close | Token::Other)) | None => break,
        }
    }
    paths.push(NamedPath { line, segments });
}

fn group(tokens: &mut Tokens, shared: &[String], paths: &mut Vec<NamedPath>) {
    while let Some((line, token)) = tokens.next() {
        match token {
            Token::Name(name) => path(tokens, line, [shared, &[name]].concat(), paths),
            Token::Close => return,
            Token::Separator | Token::Open | Token::Other => {}
        }
    }
}

fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(first) = chars.next() {
        let token = match first {
            '\n' => {
                line += 1;
                continue;
            }
            ':' if chars.next_if_eq(&':').is_some() => Token::Separator,
            '{' => Token::Open,
            '}' => Token::Close,
            first if first.is_whitespace() => continue,
            first if is_name(first) => {
                let mut name = String::from(first);
                while let Some(next) = chars.next_if(|&next| is_name(next)) {
                    name.push(next);
                }
                Token::Name(name)
            }
            _ => Token::Other,
        };
        found.push((line, token));
    }
    found
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The code with each comment and the content of each literal left out; its line breaks stay.
fn without_comments_and_literals(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let after_name = kept.chars().next_back().is_some_and(is_name);
        let length = comment(rest).or_else(|| literal(rest, after_name));
        if let Some(length) = length {
            kept.push(' ');
            kept.extend(rest[..length].chars().filter(|&character| character == '\n'));
            rest = &rest[length..];
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    kept
}

/// The length of the comment at the start of `code`.
fn comment(code: &str) -> Option<usize> {
    if code.starts_with("//") {
        return Some(code.find('\n').unwrap_or(code.len()));
    }
    if !code.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut place = 0;
    while place < code.len() {
        let step = match code.as_bytes()[place..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        place += step;
        if depth == 0 {
            break;
        }
    }
    Some(place)
}

/// The length of the literal at the start of `code`. A prefix belongs to it unless it is the end of a name.
fn literal(code: &str, after_name: bool) -> Option<usize> {
    let prefix = code.find(|character| !matches!(character, 'b' | 'c' | 'r'))?;
    if prefix > 2 || (prefix > 0 && after_name) {
        return None;
    }
    let is_raw = code[..prefix].contains('r');
    let body = &code[prefix..];
    let length = if is_raw { raw_text(body) } else { text(body).or_else(|| character(body)) };
    length.map(|length| prefix + length)
}

fn raw_text(body: &str) -> Option<usize> {
    let hashes = body.len() - body.trim_start_matches('#').len();
    if !body[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 1;
    Some(body[start..].find(&end).map_or(body.len(), |place| start + place + end.len()))
}

fn text(body: &str) -> Option<usize> {
    body.starts_with('"').then(|| quoted(body, '"'))
}

/// A quote without a second one right behind its character begins a lifetime.
fn character(body: &str) -> Option<usize> {
    let inside = body.strip_prefix('\'')?;
    let mut chars = inside.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| quoted(body, '\''))
}

/// The length of what begins with `quote` and ends with the next one that is not escaped.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, character) in body.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return place + 1;
        }
    }
    body.len()
}

#[test]
fn groups_are_taken_apart() {
    let found = named_paths("use a::{b, c::{d, e as f},\n self}; x::<y>();");
    let shown = found.iter().map(|path| format!("{}:{}", path.line, path.segments.join("::")));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        ["1:use", "1:a::b", "1:a::c::d", "1:a::c::e", "1:a::c::as", "1:a::c::f", "2:a::self", "2:x", "2:y"]
    );
}

#[test]
fn comments_and_literals_are_not_code() {
    let code =
        "a /* b /* c */ d */ e // f\n\"g\\\"h\" 'i' '\\'' b'j' b\"k\" r\"l\\\" r#\"m\"n\"# c\"o\" &'p q";
    let names: Vec<_> = named_paths(code).into_iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(names, ["a", "e", "p", "q"]);
}
