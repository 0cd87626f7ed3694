//! The fonts of statements: which glyph shows a character, how wide it is, and what a document embeds of them.
//!
//! The files hold Latin, Greek and Cyrillic, with figures of one width (`assets/fonts`). There is no shaping: each
//! character is one glyph, without kerning.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Chunk, Finish, Name, Rect, Ref, Str};
use ringledger_assets::{INTER_REGULAR, INTER_SEMIBOLD};
use sha2::{Digest, Sha256};
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId, RawFace, Tag};

use super::super::amounts::MINUS;
use super::objects::{self, deflated};

/// The weights, in the order of [`Fonts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    SemiBold,
}

impl Weight {
    pub(super) const ALL: [Self; 2] = [Self::Regular, Self::SemiBold];

    /// The font's name among a page's resources.
    pub(super) const fn resource(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"R"),
            Self::SemiBold => Name(b"S"),
        }
    }

    fn file(self) -> &'static [u8] {
        static REGULAR: LazyLock<Vec<u8>> = LazyLock::new(|| INTER_REGULAR.unpack());
        static SEMI_BOLD: LazyLock<Vec<u8>> = LazyLock::new(|| INTER_SEMIBOLD.unpack());
        match self {
            Self::Regular => &REGULAR,
            Self::SemiBold => &SEMI_BOLD,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Regular => "Inter-Regular",
            Self::SemiBold => "Inter-SemiBold",
        }
    }
}

/// A glyph of a font file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Glyph {
    /// Its number in the file; 0 is the box that stands for a character that the font lacks.
    id: u16,
    /// Its width in thousandths of the font's size.
    pub(super) advance: f32,
}

impl Glyph {
    pub(super) const fn is_missing(self) -> bool {
        self.id == 0
    }
}

/// One font, read.
pub(super) struct Font {
    face: Face<'static>,
    /// The glyphs of ASCII, which most text is.
    ascii: [Glyph; 128],
}

/// All fonts of a document.
pub(super) struct Fonts([Font; 2]);

/// The glyphs of one font that a document has shown so far, numbered in the order of their first use. Grows to the
/// font's number of glyphs at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    numbers: BTreeMap<u16, u16>,
    /// Each glyph with the character that it was shown for; number 1 first.
    order: Vec<(u16, char)>,
}

impl Fonts {
    pub(super) fn read() -> Self {
        Self(Weight::ALL.map(Font::read))
    }

    pub(super) const fn of(&self, weight: Weight) -> &Font {
        &self.0[weight as usize]
    }
}

impl Font {
    fn read(weight: Weight) -> Self {
        let face = Face::parse(weight.file(), 0).expect("the file is part of this program");
        let mut font = Self { face, ascii: [Glyph::default(); 128] };
        for code in 0..128_u8 {
            font.ascii[usize::from(code)] = font.look_up(code.into());
        }
        font
    }

    pub(super) fn glyph(&self, character: char) -> Glyph {
        let known = usize::try_from(u32::from(character)).ok().and_then(|code| self.ascii.get(code));
        known.copied().unwrap_or_else(|| self.look_up(character))
    }

    fn look_up(&self, character: char) -> Glyph {
        // A space of a width that the font lacks is a space all the same.
        let character = if character.is_whitespace() { ' ' } else { character };
        let id = self.face.glyph_index(character).unwrap_or_default();
        Glyph { id: id.0, advance: self.thousandths(self.face.glyph_hor_advance(id).unwrap_or_default()) }
    }

    /// A length of the file in thousandths of the font's size.
    fn thousandths(&self, units: impl Into<f32>) -> f32 {
        units.into() * 1000.0 / f32::from(self.face.units_per_em())
    }
}

impl Shown {
    /// What the glyphs were first shown for, in the order of their numbers, from 1.
    pub(super) fn characters(&self) -> impl Iterator<Item = char> {
        self.order.iter().map(|(_, character)| *character)
    }

    /// The number that shows a glyph in the document.
    pub(super) fn number(&mut self, glyph: Glyph, character: char) -> u16 {
        if glyph.is_missing() {
            return 0;
        }
        let next = u16::try_from(self.order.len() + 1).expect("a font has less than 2^16 glyphs");
        let number = *self.numbers.entry(glyph.id).or_insert(next);
        if number == next {
            self.order.push((glyph.id, character));
        }
        number
    }
}

const IDENTITY: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

/// The numbers of the objects that one font takes.
pub(super) const OBJECTS: i32 = 5;

/// Writes a font, cut to the glyphs that were shown, as [`OBJECTS`] objects from `first` on.
pub(super) fn write(
    chunk: &mut Chunk,
    offsets: &mut objects::Offsets,
    first: Ref,
    weight: Weight,
    shown: &Shown,
) {
    let font = Font::read(weight);
    let mut remapper = GlyphRemapper::new();
    for (glyph, _) in &shown.order {
        remapper.remap(*glyph);
    }
    let subset = subsetter::subset(weight.file(), 0, &remapper).expect("the file is part of this program");
    let outlines = RawFace::parse(&subset, 0).ok().and_then(|face| face.table(Tag::from_bytes(b"CFF ")));
    let outlines = outlines.expect("the file has CFF outlines, and a subset has what the file has");
    let name = subset_name(weight, shown);
    let [type0, cid, descriptor, file, unicode] =
        std::array::from_fn(|place| Ref::new(first.get() + i32::try_from(place).unwrap_or(0)));

    offsets.note(chunk, type0);
    chunk
        .type0_font(type0)
        .base_font(Name(format!("{name}-Identity-H").as_bytes()))
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(unicode);

    offsets.note(chunk, cid);
    let mut cid_font = chunk.cid_font(cid);
    cid_font.subtype(CidFontType::Type0).base_font(Name(name.as_bytes())).system_info(IDENTITY);
    cid_font.font_descriptor(descriptor).default_width(0.0);
    let glyphs = std::iter::once(0).chain(shown.order.iter().map(|(glyph, _)| *glyph));
    let widths = glyphs.map(|glyph| {
        font.thousandths(font.face.glyph_hor_advance(GlyphId(glyph)).unwrap_or_default()).round()
    });
    cid_font.widths().consecutive(0, widths);
    cid_font.finish();

    offsets.note(chunk, descriptor);
    write_descriptor(chunk, descriptor, &font, &name, file);

    offsets.note(chunk, file);
    let compressed = deflated(outlines);
    chunk
        .stream(file, &compressed)
        .filter(pdf_writer::Filter::FlateDecode)
        .pair(Name(b"Subtype"), Name(b"CIDFontType0C"));

    offsets.note(chunk, unicode);
    let compressed = deflated(&unicode_map(shown));
    chunk.stream(unicode, &compressed).filter(pdf_writer::Filter::FlateDecode);
}

fn write_descriptor(chunk: &mut Chunk, id: Ref, font: &Font, name: &str, file: Ref) {
    let face = &font.face;
    let bounds = face.global_bounding_box();
    let [left, bottom, right, top] =
        [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(|units| font.thousandths(units));
    chunk
        .font_descriptor(id)
        .name(Name(name.as_bytes()))
        // No character of it is in the standard Latin encoding: it is addressed by glyph.
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(left, bottom, right, top))
        .italic_angle(0.0)
        .ascent(font.thousandths(face.ascender()))
        .descent(font.thousandths(face.descender()))
        .cap_height(font.thousandths(face.capital_height().unwrap_or_else(|| face.ascender())))
        // By the rule of thumb of typesetters, 10 + 220 × (weight − 50) / 900, for weight 400; viewers that have the
        // font's outlines do not look at it.
        .stem_v(95.0)
        .font_file3(file);
}

/// What the glyphs say. The minus sign is told as a hyphen, so that an amount copied from the page is a number to
/// programs.
fn unicode_map(shown: &Shown) -> Vec<u8> {
    let mut map = UnicodeCmap::new(Name(b"Statement"), IDENTITY);
    for (number, character) in (1_u16..).zip(shown.characters()) {
        map.pair(number, if character == MINUS { '-' } else { character });
    }
    map.finish().to_vec()
}

/// `ABCDEF+Inter-Regular`: the name of a subset has six letters that tell it from others (ISO 32000-1 §9.6.4).
fn subset_name(weight: Weight, shown: &Shown) -> String {
    let mut digest = Sha256::new();
    for (glyph, _) in &shown.order {
        digest.update(glyph.to_be_bytes());
    }
    let tag: String = digest.finalize()[..6].iter().map(|byte| char::from(b'A' + byte % 26)).collect();
    format!("{tag}+{}", weight.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_one_width_in_each_weight() {
        let fonts = Fonts::read();
        for weight in Weight::ALL {
            let font = fonts.of(weight);
            let zero = font.glyph('0').advance;
            // The designer's own tables differ by a thousandth.
            assert!(('1'..='9').all(|figure| (font.glyph(figure).advance - zero).abs() < 1.5), "{weight:?}");
            assert!((font.glyph(MINUS).advance - font.glyph('+').advance).abs() < 1.5);
        }
    }

    #[test]
    fn three_scripts_are_there_and_others_are_boxes() {
        let fonts = Fonts::read();
        for weight in Weight::ALL {
            let missing: String = "Zürich Łódź Αθήνα Київ €£¥₽ „x“ … — Nguyễn"
                .chars()
                .filter(|c| fonts.of(weight).glyph(*c).is_missing())
                .collect();
            assert_eq!(missing, "");
            assert!("中🏦ع".chars().all(|c| fonts.of(weight).glyph(c).is_missing()));
        }
    }

    #[test]
    fn glyphs_are_numbered_by_first_use() {
        let fonts = Fonts::read();
        let font = fonts.of(Weight::Regular);
        let mut shown = Shown::default();
        let numbers: Vec<_> = "abaX中\u{a0} ".chars().map(|c| shown.number(font.glyph(c), c)).collect();
        assert_eq!(numbers, [1, 2, 1, 3, 0, 4, 4]);
    }
}
