//! What a finished document holds, read back from its bytes.

use std::collections::BTreeMap;

use miniz_oxide::inflate::decompress_to_vec_zlib;

use super::super::amounts::balance;
use super::super::tests::{OPENING, heading, line};
use super::*;

const WORDS: [&str; 6] = [
    "Rent for January",
    "Σύνταξη, Αθήνα",
    "Зарплата за январь",
    "(brackets) and \\ backslashes",
    "中国 🏦 and what the font has",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft of two lines and of some more",
];

/// Entries that pay 7.00 in and, each third, 0.05 out.
fn lines(count: u64) -> Vec<Line> {
    let mut sum = OPENING;
    let entry = |seq| {
        let amount = if seq % 3 == 0 { -5 } else { 700 };
        sum += amount;
        let words = WORDS[usize::try_from(seq).unwrap() % WORDS.len()];
        let balance = Money::new(sum).unwrap();
        Line { amount: Money::new(amount).unwrap(), balance, ..line(seq, 1, words) }
    };
    (1..=count).map(entry).collect()
}

/// A finished document.
struct Document {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
    draft: Draft,
}

impl Document {
    /// The statement of these entries, made from pages of `size`.
    fn of(lines: &[Line], size: usize) -> Self {
        let mut heading = heading();
        heading.closing = lines.last().map_or(heading.opening, |line| line.balance);
        let mut document = Self { bytes: Vec::new(), offsets: vec![0], draft: Draft::default() };
        document.take(Draft::default().lines(&heading, &[]));
        for page in lines.chunks(size) {
            let draft = document.draft.clone();
            document.take(draft.lines(&heading, page));
        }
        let mut part = 0;
        while part == 0 || part < ends(&document.offsets) {
            let draft = document.draft.clone();
            document.take(draft.end(&heading, part, &document.offsets));
            part += 1;
        }
        document
    }

    fn take(&mut self, piece: Piece<Draft>) {
        self.bytes.extend(piece.bytes);
        for (number, offset) in piece.objects {
            let place = number as usize;
            self.offsets.resize(self.offsets.len().max(place + 1), 0);
            assert_eq!(self.offsets[place], 0, "object {number} is written twice");
            self.offsets[place] = offset;
        }
        self.draft = piece.next;
    }

    /// The contents of the pages, in order.
    fn pages(&self) -> Vec<String> {
        let streams = |from: usize| {
            let object = &self.bytes[usize::try_from(self.offsets[from]).unwrap()..];
            let begin = find(object, b"stream\n") + b"stream\n".len();
            decompress_to_vec_zlib(&object[begin..]).unwrap()
        };
        let numbers = self.offsets.iter().enumerate().skip(1);
        let is_page = |offset: u64| {
            let object = &self.bytes[usize::try_from(offset).unwrap()..];
            find(&object[..object.len().min(200)], b"/Contents") < 200
        };
        numbers
            .filter(|(_, offset)| is_page(**offset))
            .map(|(number, _)| self.text(&streams(number + 1)))
            .collect()
    }

    /// What the strings of a content stream say, one a line.
    fn text(&self, content: &[u8]) -> String {
        let said: Vec<BTreeMap<u16, char>> =
            (self.draft.shown.iter()).map(|shown| (1..).zip(shown.characters()).collect()).collect();
        let content = String::from_utf8_lossy(content);
        let mut text = String::new();
        let mut font = 0;
        for line in content.lines() {
            if line.ends_with(" Tf") {
                font = usize::from(line.starts_with("/S"));
            }
            if let Some(string) = line.strip_suffix(" Tj") {
                let numbers = unescaped(string);
                let pairs = numbers.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                text.extend(pairs.map(|number| said[font].get(&number).copied().unwrap_or('□')));
                text.push('\n');
            }
        }
        text
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap_or(bytes.len())
}

/// The bytes of a literal or hexadecimal string (ISO 32000-1 §7.3.4).
fn unescaped(string: &str) -> Vec<u8> {
    if let Some(digits) = string.strip_prefix('<') {
        return const_hex::decode(digits.trim_end_matches('>')).unwrap();
    }
    let mut bytes = Vec::new();
    let mut rest = string[1..string.len() - 1].bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next().unwrap() {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            first @ b'0'..=b'7' => {
                let mut code = u32::from(first - b'0');
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(|digit| (b'0'..=b'7').contains(digit)) {
                        code = code * 8 + u32::from(digit - b'0');
                    }
                }
                bytes.push(u8::try_from(code).unwrap());
            }
            other => bytes.push(other),
        }
    }
    bytes
}

#[test]
fn the_cross_reference_table_names_every_object() {
    for count in [0, 1, 30, 2_000] {
        let document = Document::of(&lines(count), 200);
        for (number, offset) in document.offsets.iter().enumerate().skip(1) {
            let object = &document.bytes[usize::try_from(*offset).unwrap()..];
            assert!(
                object.starts_with(format!("{number} 0 obj").as_bytes()),
                "{count} entries, object {number}"
            );
        }
        let tail = String::from_utf8_lossy(&document.bytes[document.bytes.len() - 60..]).into_owned();
        let xref =
            tail.split("startxref\n").nth(1).unwrap().lines().next().unwrap().parse::<usize>().unwrap();
        assert!(
            document.bytes[xref..].starts_with(format!("xref\n0 {}\n", document.offsets.len()).as_bytes())
        );
        assert!(document.bytes.starts_with(b"%PDF-1.7\n") && document.bytes.ends_with(b"%%EOF\n"));
    }
}

#[test]
fn every_entry_is_on_a_page() {
    let lines = lines(300);
    let pages = Document::of(&lines, 200).pages();
    let text = pages.concat();
    for line in &lines {
        assert!(
            text.contains(&format!("\n{}\n", balance(line.balance, 2))),
            "no balance of entry {}",
            line.seq
        );
        assert!(
            text.contains(&format!("Reference ref-{}\n", line.seq)),
            "no reference of entry {}",
            line.seq
        );
    }
    for words in &WORDS[..4] {
        assert!(text.matches(words).count() >= 50, "{words}");
    }
    assert!(text.contains(&format!("Total of {} entries", lines.len())), "{}", pages.last().unwrap());
}

#[test]
fn every_page_has_header_footer_and_the_balance_before_it() {
    let pages = Document::of(&lines(100), 200).pages();
    assert!(pages.len() > 3);
    let account = heading().account.id;
    let mut carried = "10.00".to_owned();
    for (place, page) in pages.iter().enumerate() {
        assert!(
            page.starts_with(&format!("Account {account}\n2026-01-01 00:00:00 to 2026-02-01 00:00:00\n")),
            "{page}"
        );
        assert!(page.contains(&format!("Page {} of \n", place + 1)), "{page}");
        assert!(page.contains("Date\nDescription\nPaid out\nPaid in\nBalance\n"), "{page}");
        let words = if place == 0 { "Opening balance" } else { "Balance brought forward" };
        assert!(page.contains(&format!("{words}\n{carried}\n")), "{carried} in {page}");
        let mut amounts =
            page.lines().filter(|line| line.contains('.') && !line.contains(char::is_alphabetic));
        carried = amounts.next_back().unwrap_or_default().to_owned();
    }
    assert!(pages.last().unwrap().ends_with(&format!("Closing balance\n{carried}\n")));
}

#[test]
fn a_statement_without_entries_says_so() {
    let pages = Document::of(&[], 200).pages();
    assert_eq!(pages.len(), 1);
    assert!(pages[0].ends_with("No entries in this period\nClosing balance\n10.00\n"), "{}", pages[0]);
}

#[test]
fn the_document_is_the_same_however_its_entries_are_read() {
    let lines = lines(120);
    let whole = Document::of(&lines, 200);
    for size in [1, 7, 64] {
        let document = Document::of(&lines, size);
        assert_eq!(document.pages(), whole.pages(), "{size} at a time");
        assert_eq!(document.offsets.len(), whole.offsets.len());
    }
}

#[test]
fn a_draft_stays_small() {
    let document = Document::of(&lines(3_000), 200);
    let glyphs: usize = document.draft.shown.iter().map(|shown| shown.characters().count()).sum();
    assert!(document.draft.content.capacity() < 64 << 10 && glyphs < 2_400, "{glyphs}");
}
