//! A statement as CSV (RFC 4180): a header, then one record of each line, told apart by their first field.
//!
//! `opening` names account, owner, the period's beginning and the balance then; `entry` is an entry; `closing` has the
//! period's end, the sum of all entries and the balance after them. A file without `closing` is not whole.
//! Amounts are in minor units, times in RFC 3339.

use std::fmt::{Display, Write as _};

use super::Heading;
use super::document::Piece;
use crate::models::Timestamp;
use crate::store::statements::Line;

const HEADER: &str = "record,seq,created_at,transfer_id,counterparty_account,description,reference,amount,balance,\
     currency,account_id,owner,owner_name\r\n";

/// What a document in the making knows of its lines so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Draft {
    has_begun: bool,
    net: i128,
}

impl Draft {
    /// The records of some lines, behind the opening one if they are the first.
    pub(super) fn lines(mut self, heading: &Heading, lines: &[Line]) -> Piece<Self> {
        let mut text = String::new();
        if !self.has_begun {
            self.has_begun = true;
            text.push_str(HEADER);
            end_record(&mut text, "opening", heading.period.from, 0, heading.opening, heading);
        }
        for line in lines {
            self.net += i128::from(line.amount.minor_units());
            entry(&mut text, line);
        }
        Piece { bytes: text.into_bytes(), objects: Vec::new(), next: self }
    }

    /// The closing record.
    pub(super) fn end(self, heading: &Heading) -> Piece<Self> {
        let mut text = String::new();
        end_record(&mut text, "closing", heading.period.to, self.net, heading.closing, heading);
        Piece { bytes: text.into_bytes(), objects: Vec::new(), next: self }
    }
}

/// The record of one end of the period.
fn end_record(
    text: &mut String,
    kind: &str,
    at: Timestamp,
    amount: i128,
    balance: impl Display,
    heading: &Heading,
) {
    let account = &heading.account;
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{kind},,{at},,,,,{amount},{balance},{},{},{},",
        account.currency, account.id, heading.owner.id
    );
    free_text(text, heading.owner.username.as_str());
    text.push_str("\r\n");
}

fn entry(text: &mut String, line: &Line) {
    let _ =
        write!(text, "entry,{},{},{},{},", line.seq, line.created_at, line.transfer_id, line.counterparty);
    free_text(text, line.description.as_ref().map_or("", |words| words.as_str()));
    text.push(',');
    free_text(text, line.reference.as_ref().map_or("", |words| words.as_str()));
    let _ = write!(text, ",{},{},,,,\r\n", line.amount, line.balance);
}

/// A field that callers have written. What a spreadsheet would run as a formula gets an apostrophe before it
/// (OWASP, "CSV Injection"), full-width forms too.
fn free_text(text: &mut String, words: &str) {
    let is_formula = words.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    let guard = if is_formula { "'" } else { "" };
    if words.contains(['"', ',', '\r', '\n']) {
        let _ = write!(text, "\"{guard}{}\"", words.replace('"', "\"\""));
    } else {
        text.push_str(guard);
        text.push_str(words);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{heading, line};
    use super::*;

    /// Everything that a statement of these lines says, read page by page.
    fn written(pages: &[&[Line]]) -> String {
        let heading = heading();
        let mut draft = Draft::default();
        let mut bytes = Vec::new();
        for lines in pages {
            let piece = draft.lines(&heading, lines);
            bytes.extend(piece.bytes);
            draft = piece.next;
        }
        bytes.extend(draft.end(&heading).bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_record_has_every_field() {
        let lines = [line(1, 500, "plain"), line(2, -200, "a, \"b\"")];
        let text = written(&[&lines[..1], &lines[1..]]);
        let records: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!(records.len(), 5, "{text}");
        assert!(records[0].starts_with("record,seq,created_at,"));
        assert!(
            records[1].starts_with("opening,,2026-01-01T00:00:00.000000Z,,,,,0,1000,EUR,"),
            "{}",
            records[1]
        );
        assert!(records[1].ends_with(",alice"));
        assert!(records[2].contains(",plain,ref-1,500,1500,,,,"), "{}", records[2]);
        assert!(records[3].contains(",\"a, \"\"b\"\"\",ref-2,-200,1300,,,,"), "{}", records[3]);
        assert!(
            records[4].starts_with("closing,,2026-02-01T00:00:00.000000Z,,,,,300,1300,EUR,"),
            "{}",
            records[4]
        );
    }

    #[test]
    fn no_text_is_a_formula() {
        for words in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "=\"a\",1"] {
            let text = written(&[&[line(1, 300, words)]]);
            let guarded = format!("'{}", words.replace('"', "\"\""));
            assert!(text.contains(&guarded), "{text}");
        }
        assert!(written(&[&[line(1, 300, "1=1")]]).contains(",1=1,"));
    }
}
