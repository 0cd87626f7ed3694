//! A statement as PDF, sent page by page while it is made.
//!
//! A page leaves as soon as it is full; what needs the whole document is written behind the pages: fonts cut to what
//! was shown, the forms with sums and number of pages, the page tree, the cross-reference table. So a draft is a page's
//! content and the glyphs shown so far, some tens of KiB, for any number of entries.

mod font;
mod objects;
mod page;
mod pen;

use pdf_writer::writers::{DocumentInfo, Resources};
use pdf_writer::{Chunk, Date, Filter, Finish, Name, Rect, Ref, TextStr};

use self::font::{Shown, Weight};
use self::objects::Offsets;
use self::page::{Row, Sums};
use self::pen::Pen;
use super::Heading;
use super::amounts::balance;
use super::document::Piece;
use crate::models::{Money, Timestamp};
use crate::store::statements::Line;

/// A document in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// Bytes that have been made.
    length: u64,
    /// Pages that are full.
    pages: u32,
    /// What the page that is not full shows.
    content: Vec<u8>,
    /// Where its next row begins, once it has begun.
    top: Option<f32>,
    /// The balance after the last row.
    balance: Money,
    sums: Sums,
    shown: [Shown; 2],
    /// Where the cross-reference table begins, once all objects are written.
    xref_at: Option<u64>,
}

/// Pieces behind the lines: the objects at the end, then the parts of the cross-reference table.
pub(super) fn ends(offsets: &[u64]) -> usize {
    1 + objects::xref_parts(offsets)
}

impl Draft {
    /// The pages that these lines fill.
    pub(super) fn lines(self, heading: &Heading, lines: &[Line]) -> Piece<Self> {
        let mut press = Press::new(self, heading);
        for line in lines {
            press.line(line);
        }
        press.piece()
    }

    /// Piece `part` of what stands behind the lines.
    pub(super) fn end(self, heading: &Heading, part: usize, offsets: &[u64]) -> Piece<Self> {
        let Some(xref_at) = self.xref_at else {
            let mut press = Press::new(self, heading);
            press.close();
            let mut piece = press.piece();
            piece.next.xref_at = Some(piece.next.length);
            return piece;
        };
        let id = document_id(heading);
        let bytes = objects::xref_part(offsets, part.saturating_sub(1), xref_at, &id);
        Piece { bytes, objects: Vec::new(), next: self }
    }
}

/// Makes one piece.
struct Press<'a> {
    heading: &'a Heading,
    draft: Draft,
    pen: Pen,
    chunk: Chunk,
    offsets: Offsets,
}

impl<'a> Press<'a> {
    fn new(mut draft: Draft, heading: &'a Heading) -> Self {
        let is_first = draft.length == 0;
        let header = if is_first { objects::HEADER.len() as u64 } else { 0 };
        let offsets = Offsets::new(draft.length + header);
        let pen = Pen::new(std::mem::take(&mut draft.shown));
        let settings = pdf_writer::Settings { pretty: false };
        let mut press = Self { heading, draft, pen, chunk: Chunk::with_settings(settings), offsets };
        if is_first {
            let top = page::begin(&mut press.pen, heading, 1);
            press.draft.balance = heading.opening;
            let opening = balance(heading.opening, heading.decimals);
            press.draft.top = Some(page::balance_row(&mut press.pen, top, "Opening balance", true, &opening));
        }
        press
    }

    fn line(&mut self, line: &Line) {
        let row = Row::of(&self.pen, line, self.heading.decimals);
        let top = self.room_for(row.height());
        self.draft.top = Some(row.draw(&mut self.pen, top));
        self.draft.balance = line.balance;
        self.draft.sums.add(line);
    }

    /// Where a row of this height goes, on a new page if need be.
    fn room_for(&mut self, height: f32) -> f32 {
        let top = self.draft.top.unwrap_or_default();
        if page::has_room(top, height) {
            return top;
        }
        self.finish_page();
        let top = page::begin(&mut self.pen, self.heading, self.draft.pages + 1);
        let carried = balance(self.draft.balance, self.heading.decimals);
        page::balance_row(&mut self.pen, top, "Balance brought forward", false, &carried)
    }

    fn finish_page(&mut self) {
        self.draft.content.append(&mut self.pen.take());
        objects::write_page(&mut self.chunk, &mut self.offsets, self.draft.pages, &self.draft.content);
        self.draft.content.clear();
        self.draft.pages += 1;
    }

    /// The last page and all that stands behind it.
    fn close(&mut self) {
        let top = self.room_for(page::CLOSING_HEIGHT);
        page::closing_rows(&mut self.pen, top, self.heading, &self.draft.sums);
        self.finish_page();
        let pages = self.draft.pages;
        page::page_count(&mut self.pen, pages);
        self.write_form(objects::PAGE_COUNT, Rect::new(0.0, -4.0, 80.0, 12.0));
        page::summary(&mut self.pen, self.heading, &self.draft.sums);
        self.write_form(objects::SUMMARY, Rect::new(0.0, 0.0, page::SUMMARY_WIDTH, page::SUMMARY_HEIGHT));
        for (place, weight) in Weight::ALL.into_iter().enumerate() {
            let first = objects::font_object(place);
            font::write(&mut self.chunk, &mut self.offsets, first, weight, self.pen.shown(weight));
        }
        self.write_resources();
        self.write_info();
        objects::write_tree(&mut self.chunk, &mut self.offsets, pages);
    }

    /// What the pen has drawn, as a form.
    fn write_form(&mut self, id: Ref, bounds: Rect) {
        let content = objects::deflated(&self.pen.take());
        self.offsets.note(&self.chunk, id);
        let mut form = self.chunk.form_xobject(id, &content);
        form.filter(Filter::FlateDecode);
        form.bbox(bounds).pair(Name(b"Resources"), objects::RESOURCES);
    }

    /// What every page names.
    fn write_resources(&mut self) {
        self.offsets.note(&self.chunk, objects::RESOURCES);
        let mut resources = self.chunk.indirect(objects::RESOURCES).start::<Resources<'_>>();
        let mut fonts = resources.fonts();
        for (place, weight) in Weight::ALL.into_iter().enumerate() {
            fonts.pair(weight.resource(), objects::font_object(place));
        }
        fonts.finish();
        let forms = [(page::PAGE_COUNT, objects::PAGE_COUNT), (page::SUMMARY, objects::SUMMARY)];
        resources.x_objects().pairs(forms);
    }

    fn write_info(&mut self) {
        self.offsets.note(&self.chunk, objects::INFO);
        let period = self.heading.period;
        let title = format!(
            "Statement of account {}, {} to {}",
            self.heading.account.id,
            super::amounts::moment(period.from),
            super::amounts::moment(period.to)
        );
        let mut info = self.chunk.indirect(objects::INFO).start::<DocumentInfo<'_>>();
        info.title(TextStr(&title))
            .subject(TextStr(&format!("Owner {}", self.heading.owner.username.as_str())));
        info.producer(TextStr(concat!("ringledger ", env!("CARGO_PKG_VERSION"))));
        info.creation_date(date(self.heading.issued_at));
    }

    fn piece(mut self) -> Piece<Draft> {
        self.draft.content.append(&mut self.pen.take());
        let mut bytes = Vec::new();
        if self.draft.length == 0 {
            bytes.extend_from_slice(objects::HEADER);
        }
        bytes.extend_from_slice(self.chunk.as_bytes());
        self.draft.length += bytes.len() as u64;
        self.draft.shown = self.pen.into_shown();
        Piece { bytes, objects: self.offsets.found, next: self.draft }
    }
}

/// A moment as PDF writes one.
fn date(at: Timestamp) -> Date {
    let text = at.to_string();
    let part =
        |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let small = |from: usize| u8::try_from(part(from, from + 2)).unwrap_or(0);
    Date::new(part(0, 4))
        .month(small(5))
        .day(small(8))
        .hour(small(11))
        .minute(small(14))
        .second(small(17))
        .utc_offset_hour(0)
}

/// What tells this file from others (ISO 32000-1 §14.4).
fn document_id(heading: &Heading) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    digest.update(heading.account.id.as_uuid().as_bytes());
    for moment in [heading.period.from, heading.period.to, heading.issued_at] {
        digest.update(moment.as_micros().to_be_bytes());
    }
    const_hex::encode(&digest.finalize()[..16])
}

#[cfg(test)]
mod tests;
