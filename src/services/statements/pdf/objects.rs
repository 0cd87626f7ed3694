//! The skeleton of a PDF file (ISO 32000-1) that is sent while it is made: numbers of objects, the page tree, the
//! cross-reference table. Knows nothing of what is on a page.
//!
//! Numbers are given by arithmetic, so that a page can name its place in the tree, and the tree its pages, without a
//! list of them: what all pages share comes first, then groups of a tree node and [`GROUP`] pages, each page and
//! its content.

use std::fmt::Write as _;

use pdf_writer::writers::Catalog;
use pdf_writer::{Chunk, Filter, Finish, Name, Rect, Ref};

use super::font;

/// A4 in points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
/// See [`PAGE_WIDTH`].
pub(super) const PAGE_HEIGHT: f32 = 841.89;

/// Pages below one node of the tree. Lets a viewer find a page of thousands in two steps.
const GROUP: u32 = 64;
/// Entries of the cross-reference table in one piece, 20 bytes each. Bounds the piece, however long the document.
const XREF_PART: usize = 4_096;
/// How hard deflate tries, of 10; more makes pages 1 % smaller and takes twice as long.
const DEFLATE_LEVEL: u8 = 6;

pub(super) const CATALOG: Ref = Ref::new(1);
const TREE: Ref = Ref::new(2);
pub(super) const INFO: Ref = Ref::new(3);
pub(super) const RESOURCES: Ref = Ref::new(4);
pub(super) const PAGE_COUNT: Ref = Ref::new(5);
pub(super) const SUMMARY: Ref = Ref::new(6);
const FONTS: i32 = 7;
/// The first number behind what all pages share.
const GROUPS: i32 = FONTS + 2 * font::OBJECTS;

/// The first object of a font, by its place among the weights.
pub(super) fn font_object(place: usize) -> Ref {
    Ref::new(FONTS + font::OBJECTS * i32::try_from(place).expect("there are two weights"))
}

/// Numbers of pages and objects are below 2^31: a page has some 30 entries, so that is beyond 30 billion of them.
fn number(pages: u32) -> i32 {
    i32::try_from(pages).unwrap_or(i32::MAX)
}

/// The node of the tree above a page; pages count from 0.
fn node(page: u32) -> Ref {
    Ref::new(GROUPS + number((page / GROUP).saturating_mul(1 + 2 * GROUP)))
}

fn page_object(page: u32) -> Ref {
    Ref::new(node(page).get() + 1 + 2 * number(page % GROUP))
}

fn content_object(page: u32) -> Ref {
    Ref::new(page_object(page).get() + 1)
}

/// Where objects begin in the document, noted while they are written.
pub(super) struct Offsets {
    /// Bytes of the document before the chunk.
    before: u64,
    pub(super) found: Vec<(u32, u64)>,
}

impl Offsets {
    pub(super) const fn new(before: u64) -> Self {
        Self { before, found: Vec::new() }
    }

    /// The next object of `chunk` is `id`.
    pub(super) fn note(&mut self, chunk: &Chunk, id: Ref) {
        self.found.push((id.get().unsigned_abs(), self.before + chunk.len() as u64));
    }
}

/// The first bytes of the file; those beyond ASCII tell programs that it is binary.
pub(super) const HEADER: &[u8] = b"%PDF-1.7\n%\x80\x80\x80\x80\n\n";

/// A finished page, and the node above it when it is the node's last.
pub(super) fn write_page(chunk: &mut Chunk, offsets: &mut Offsets, page: u32, content: &[u8]) {
    offsets.note(chunk, page_object(page));
    chunk.page(page_object(page)).parent(node(page)).contents(content_object(page));
    offsets.note(chunk, content_object(page));
    chunk.stream(content_object(page), &deflated(content)).filter(Filter::FlateDecode);
    if page % GROUP == GROUP - 1 {
        write_node(chunk, offsets, page);
    }
}

/// The node above `last`, the last page below it.
fn write_node(chunk: &mut Chunk, offsets: &mut Offsets, last: u32) {
    let first = last - last % GROUP;
    offsets.note(chunk, node(last));
    chunk
        .pages(node(last))
        .parent(TREE)
        .kids((first..=last).map(page_object))
        .count(number(last - first + 1));
}

/// The tree above all pages, what they share, and the catalog.
pub(super) fn write_tree(chunk: &mut Chunk, offsets: &mut Offsets, pages: u32) {
    let last = pages - 1;
    if last % GROUP != GROUP - 1 {
        write_node(chunk, offsets, last);
    }
    offsets.note(chunk, TREE);
    let mut tree = chunk.pages(TREE);
    tree.kids((0..pages).step_by(GROUP as usize).map(node)).count(number(pages));
    tree.media_box(Rect::new(0.0, 0.0, PAGE_WIDTH, PAGE_HEIGHT)).pair(Name(b"Resources"), RESOURCES);
    tree.finish();
    offsets.note(chunk, CATALOG);
    let mut catalog = chunk.indirect(CATALOG).start::<Catalog<'_>>();
    catalog.pages(TREE).lang(pdf_writer::TextStr("en"));
    catalog.viewer_preferences().display_doc_title(true);
}

/// How many parts the cross-reference table has; `offsets` are those of all objects.
pub(super) fn xref_parts(offsets: &[u64]) -> usize {
    offsets.len().div_ceil(XREF_PART)
}

/// Part `part` of the cross-reference table, from 0; the trailer follows the last. `offsets` are by number of object,
/// there is none of number 0. The table begins at `xref_at`; `id` tells the file from others.
pub(super) fn xref_part(offsets: &[u64], part: usize, xref_at: u64, id: &str) -> Vec<u8> {
    let mut text = String::new();
    if part == 0 {
        text = format!("xref\n0 {}\n", offsets.len());
    }
    // Writing to a String cannot fail.
    for (number, offset) in offsets.iter().enumerate().skip(part * XREF_PART).take(XREF_PART) {
        let _ = match number {
            0 => write!(text, "0000000000 65535 f\r\n"),
            _ => write!(text, "{offset:010} 00000 n\r\n"),
        };
    }
    if part + 1 == xref_parts(offsets) {
        let (size, catalog, info) = (offsets.len(), CATALOG.get(), INFO.get());
        let _ = write!(
            text,
            "trailer\n<</Size {size}/Root {catalog} 0 R/Info {info} 0 R/ID[<{id}><{id}>]>>\n\
             startxref\n{xref_at}\n%%EOF\n"
        );
    }
    text.into_bytes()
}

/// Bytes as `FlateDecode` wants them.
pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(bytes, DEFLATE_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gapless_and_used_once() {
        let pages = 2 * GROUP + 3;
        let mut numbers: Vec<_> = (1..GROUPS).collect();
        numbers.extend((0..pages).step_by(GROUP as usize).map(|page| node(page).get()));
        numbers.extend((0..pages).flat_map(|page| [page_object(page).get(), content_object(page).get()]));
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=content_object(pages - 1).get()));
        assert_eq!(font_object(1).get() + font::OBJECTS, GROUPS);
    }

    #[test]
    fn the_table_is_the_same_in_any_number_of_parts() {
        let offsets: Vec<u64> = (0..2 * XREF_PART as u64 + 5).collect();
        let parts: Vec<_> =
            (0..xref_parts(&offsets)).map(|part| xref_part(&offsets, part, 7, "00")).collect();
        assert_eq!(parts.len(), 3);
        let text = String::from_utf8(parts.concat()).unwrap();
        let (table, trailer) = text.split_once("trailer").unwrap();
        assert_eq!(table.len(), format!("xref\n0 {}\n", offsets.len()).len() + 20 * offsets.len());
        assert!(trailer.ends_with("startxref\n7\n%%EOF\n"), "{trailer}");
    }
}
