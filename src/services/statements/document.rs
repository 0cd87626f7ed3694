//! A document that is made piece by piece. What it needs to go on is a value, so that a job of the CPU pool can make
//! the next piece from it as often as it is run.

use super::{Format, Heading, csv, pdf};
use crate::store::statements::Line;

/// A stretch of a document, and the draft that the next one is made from.
#[derive(Debug)]
pub(super) struct Piece<D> {
    /// What is to be sent.
    pub(super) bytes: Vec<u8>,
    /// Number and place in the whole document of each object in it (PDF). They would make the draft grow with the
    /// document, so whoever sends the pieces keeps them.
    pub(super) objects: Vec<(u32, u64)>,
    /// What the next piece is made from.
    pub(super) next: D,
}

/// A document in the making. Small, whatever the document's length.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Pdf(Box<pdf::Draft>),
    Csv(csv::Draft),
}

impl Draft {
    pub(super) fn new(format: Format) -> Self {
        match format {
            Format::Pdf => Self::Pdf(Box::default()),
            Format::Csv => Self::Csv(csv::Draft::default()),
        }
    }

    /// The piece that shows some lines.
    pub(super) fn lines(self, heading: &Heading, lines: &[Line]) -> Piece<Self> {
        match self {
            Self::Pdf(draft) => draft.lines(heading, lines).map(Self::pdf),
            Self::Csv(draft) => draft.lines(heading, lines).map(Self::Csv),
        }
    }

    /// Piece number `part`, from 0, of what stands behind all lines. `offsets` has the place of each object so far.
    pub(super) fn end(self, heading: &Heading, part: usize, offsets: &[u64]) -> Piece<Self> {
        match self {
            Self::Pdf(draft) => draft.end(heading, part, offsets).map(Self::pdf),
            Self::Csv(draft) => draft.end(heading).map(Self::Csv),
        }
    }

    /// How many pieces stand behind the lines, once the first of them is made.
    pub(super) fn ends(&self, offsets: &[u64]) -> usize {
        match self {
            Self::Pdf(_) => pdf::ends(offsets),
            Self::Csv(_) => 1,
        }
    }

    fn pdf(draft: pdf::Draft) -> Self {
        Self::Pdf(Box::new(draft))
    }
}

impl<D> Piece<D> {
    fn map<E>(self, wrap: impl FnOnce(D) -> E) -> Piece<E> {
        Piece { bytes: self.bytes, objects: self.objects, next: wrap(self.next) }
    }
}
