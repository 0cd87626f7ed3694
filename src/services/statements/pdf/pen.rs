//! Draws text, lines and areas on a page. Knows how wide text is, where it breaks and where it is cut; nothing of
//! what is drawn. Lengths are in points, from the lower left corner.

use std::borrow::Cow;

use pdf_writer::{Content, Name, Str, TextStr};

use super::font::{Fonts, Shown, Weight};

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) weight: Weight,
    /// In points.
    pub(super) size: f32,
    /// 0 is black, 1 white.
    pub(super) gray: f32,
}

/// A page's content in the making.
pub(super) struct Pen {
    content: Content,
    fonts: Fonts,
    shown: [Shown; 2],
}

/// What ends text that was cut.
const ELLIPSIS: char = '…';

impl Pen {
    /// A pen for a document that has shown these glyphs.
    pub(super) fn new(shown: [Shown; 2]) -> Self {
        Self { content: Content::new(), fonts: Fonts::read(), shown }
    }

    /// What was drawn since it was last taken. More may be put behind it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut drawn = std::mem::replace(&mut self.content, Content::new()).finish().to_vec();
        drawn.push(b'\n');
        drawn
    }

    /// The glyphs of one font that the document has shown.
    pub(super) const fn shown(&self, weight: Weight) -> &Shown {
        &self.shown[weight as usize]
    }

    /// The glyphs that the document has shown. What was not taken is lost.
    pub(super) fn into_shown(self) -> [Shown; 2] {
        self.shown
    }

    /// Text that begins at `x`; returns where it ends.
    pub(super) fn text(&mut self, x: f32, y: f32, style: Style, text: &str) -> f32 {
        let end = x + self.width(style, text);
        self.content.begin_text().set_fill_gray(style.gray).set_font(style.weight.resource(), style.size);
        self.content.set_text_matrix([1.0, 0.0, 0.0, 1.0, rounded(x), rounded(y)]);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let font = self.fonts.of(style.weight);
            let missing = font.glyph(first).is_missing();
            let end = rest.find(|c| font.glyph(c).is_missing() != missing).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            self.show(style.weight, run, missing);
            rest = behind;
        }
        self.content.end_text();
        end
    }

    /// Text that ends at `right`.
    pub(super) fn text_to(&mut self, right: f32, y: f32, style: Style, text: &str) {
        let x = right - self.width(style, text);
        self.text(x, y, style, text);
    }

    /// Text that ends at `right`, smaller where it would be wider than `width`. For amounts, which must not be cut.
    pub(super) fn amount_to(&mut self, right: f32, y: f32, style: Style, width: f32, text: &str) {
        self.text_to(right, y, self.shrunk(style, width, text), text);
    }

    /// The style, smaller where text would be wider than `width`.
    pub(super) fn shrunk(&self, style: Style, width: f32, text: &str) -> Style {
        let full = self.width(style, text);
        let size = if full > width { style.size * width / full } else { style.size };
        Style { size, ..style }
    }

    /// Characters that the font has, or has not; boxes stand for those, and whoever copies them gets the characters.
    fn show(&mut self, weight: Weight, run: &str, missing: bool) {
        let font = self.fonts.of(weight);
        let shown = &mut self.shown[weight as usize];
        let numbers: Vec<u8> =
            run.chars().flat_map(|c| shown.number(font.glyph(c), c).to_be_bytes()).collect();
        if missing {
            let mut span = self.content.begin_marked_content_with_properties(Name(b"Span"));
            span.properties().actual_text(TextStr(run));
        }
        self.content.show(Str(&numbers));
        if missing {
            self.content.end_marked_content();
        }
    }

    /// A horizontal line.
    pub(super) fn rule(&mut self, left: f32, right: f32, y: f32, thickness: f32, gray: f32) {
        self.content.set_stroke_gray(gray).set_line_width(thickness);
        self.content.move_to(rounded(left), rounded(y)).line_to(rounded(right), rounded(y)).stroke();
    }

    /// A filled rectangle.
    pub(super) fn fill(&mut self, left: f32, bottom: f32, width: f32, height: f32, gray: f32) {
        self.content.set_fill_gray(gray);
        self.content.rect(rounded(left), rounded(bottom), rounded(width), rounded(height)).fill_nonzero();
    }

    /// A form, which is written elsewhere, with its origin at `x` and `y`.
    pub(super) fn form(&mut self, x: f32, y: f32, name: Name<'_>) {
        self.content.save_state().transform([1.0, 0.0, 0.0, 1.0, rounded(x), rounded(y)]);
        self.content.x_object(name).restore_state();
    }

    /// How wide text is.
    pub(super) fn width(&self, style: Style, text: &str) -> f32 {
        text.chars().map(|c| self.advance(style, c)).sum()
    }

    fn advance(&self, style: Style, character: char) -> f32 {
        self.fonts.of(style.weight).glyph(character).advance * style.size / 1000.0
    }

    /// Text, cut with an ellipsis where it is wider than `width`.
    pub(super) fn fit<'t>(&self, style: Style, width: f32, text: &'t str) -> Cow<'t, str> {
        if self.width(style, text) <= width {
            return text.into();
        }
        let end = self.fitting(style, width - self.advance(style, ELLIPSIS), text);
        format!("{}{ELLIPSIS}", text[..end].trim_end()).into()
    }

    /// The bytes of as much text as `width` has room for.
    fn fitting(&self, style: Style, width: f32, text: &str) -> usize {
        let mut used = 0.0;
        let beyond = text.char_indices().find(|(_, c)| {
            used += self.advance(style, *c);
            used > width
        });
        beyond.map_or(text.len(), |(place, _)| place)
    }

    /// Text in at most `lines` lines, broken at spaces, and inside words that are wider than a line. The last line is
    /// cut where text is left over.
    pub(super) fn wrap(&self, style: Style, width: f32, lines: usize, text: &str) -> Vec<String> {
        let mut wrapped = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if wrapped.len() + 1 >= lines {
                wrapped.push(self.fit(style, width, rest).into_owned());
                break;
            }
            let most = self.fitting(style, width, rest);
            let end = if most == rest.len() { most } else { break_before(rest, most) };
            wrapped.push(rest[..end].trim_end().to_owned());
            rest = rest[end..].trim_start();
        }
        wrapped
    }
}

/// Where a line ends that has room for `most` bytes: behind its last space, or where the room ends. Never at its
/// beginning, so that every line takes something.
fn break_before(text: &str, most: usize) -> usize {
    let next = text[most..].chars().next();
    if next.is_some_and(char::is_whitespace) {
        return most.max(1);
    }
    let space = text[..most].rfind(char::is_whitespace).filter(|place| *place > 0);
    let first = text.chars().next().map_or(0, char::len_utf8);
    space.unwrap_or(most).max(first)
}

/// To hundredths of a point, which nobody sees and every number needs bytes for.
fn rounded(length: f32) -> f32 {
    (length * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: Style = Style { weight: Weight::Regular, size: 10.0, gray: 0.0 };

    fn pen() -> Pen {
        Pen::new(Default::default())
    }

    #[test]
    fn text_breaks_at_spaces_and_is_cut_at_the_end() {
        let pen = pen();
        let lines = pen.wrap(BODY, 60.0, 2, "Rent for January and February");
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("Rent for") && !lines[0].ends_with(' '), "{lines:?}");
        assert!(lines[1].ends_with(ELLIPSIS), "{lines:?}");
        assert_eq!(pen.wrap(BODY, 500.0, 2, " Rent  "), ["Rent"]);
        assert!(pen.wrap(BODY, 60.0, 2, "  ").is_empty());
        assert!(pen.wrap(BODY, 30.0, 9, "Donaudampfschifffahrt").len() > 2);
    }

    #[test]
    fn amounts_shrink_rather_than_lose_figures() {
        let mut pen = pen();
        pen.amount_to(100.0, 0.0, BODY, 50.0, "90,071,992,547,409.91");
        let drawn = String::from_utf8_lossy(&pen.take()).into_owned();
        let size: f32 = drawn.split("/R ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(size < 5.0, "{drawn}");
    }

    #[test]
    fn characters_that_the_font_lacks_keep_their_text() {
        let mut pen = pen();
        pen.text(0.0, 0.0, BODY, "a中b");
        let drawn = String::from_utf8_lossy(&pen.take()).into_owned();
        assert!(drawn.contains("/Span") && drawn.contains("ActualText"), "{drawn}");
        assert_eq!(drawn.matches("Tj").count(), 3, "{drawn}");
    }

    proptest! {
        #[test]
        fn any_text_fits_its_room(text in "\\PC{0,80}", width in 12.0_f32..300.0, lines in 1_usize..4) {
            let mut pen = pen();
            let wrapped = pen.wrap(BODY, width, lines, &text);
            prop_assert!(wrapped.len() <= lines);
            for line in &wrapped {
                let wide = pen.width(BODY, line);
                // A single glyph may be wider than the room.
                prop_assert!(wide <= width + 0.01 || line.chars().count() <= 1, "{line:?}: {wide} in {width}");
                pen.text(0.0, 0.0, BODY, line);
            }
        }
    }
}
