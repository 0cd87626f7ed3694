//! What a core has lately read of the log. Readers at the same place share it: all that were told of the same events
//! before their server ended come back to one place, and whoever joins finds here what the others were just told.
//!
//! The log is cut into pages at fixed places, so that readers who began anywhere meet in them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Occurrence;

/// Events of a page. Bounds how long reading one holds its core (about a millisecond).
const PAGE_EVENTS: u32 = 128;
/// Pages that are kept while there are readers: some 3 MiB, and 30 MiB where all metadata have 4 KiB.
const PAGES_KEPT: usize = 16;

/// How many events lie between a place and the end of its page; at least one.
#[expect(clippy::cast_possible_truncation, reason = "a remainder is less than what divides")]
pub(super) const fn rest_of_page(after: u64) -> u32 {
    PAGE_EVENTS - (after % PAGE_EVENTS as u64) as u32
}

/// The pages that are kept, the last used at the end.
#[derive(Debug, Default)]
pub(super) struct Pages(RefCell<VecDeque<Page>>);

/// Events of one page that follow one another; at least one.
#[derive(Debug)]
struct Page {
    number: u64,
    /// Whether the owners of accounts were looked up.
    has_owners: bool,
    events: Vec<Rc<Occurrence>>,
}

impl Page {
    fn first(&self) -> u64 {
        self.events.first().map_or(0, |first| first.event.seq)
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |last| last.event.seq)
    }

    /// Whether events from `first` on can be appended to what is here.
    fn goes_on_at(&self, first: u64) -> bool {
        (self.first()..=self.last() + 1).contains(&first)
    }

    fn behind(&self, after: u64) -> Option<&[Rc<Occurrence>]> {
        let skipped = usize::try_from((after + 1).checked_sub(self.first())?).ok()?;
        self.events.get(skipped..).filter(|events| !events.is_empty())
    }
}

const fn number(after: u64) -> u64 {
    after / PAGE_EVENTS as u64
}

impl Pages {
    /// What is kept of the events right behind a place, to the end of its page at most.
    pub(super) fn behind(&self, after: u64, with_owners: bool) -> Option<Vec<Rc<Occurrence>>> {
        let page = self.take(number(after))?;
        let found = page.behind(after).filter(|_| page.has_owners || !with_owners).map(<[_]>::to_vec);
        self.put(page);
        found
    }

    /// Keeps events of one page, which follow one another.
    pub(super) fn keep(&self, events: &[Rc<Occurrence>], has_owners: bool) {
        let Some(first) = events.first().map(|first| first.event.seq) else { return };
        let number = number(first - 1);
        let new = || Page { number, has_owners, events: events.to_vec() };
        self.put(match self.take(number) {
            Some(mut page) if page.goes_on_at(first) && (page.has_owners || !has_owners) => {
                let last = page.last();
                let more = events.iter().filter(|occurrence| occurrence.event.seq > last);
                page.events.extend(more.cloned());
                page.has_owners &= has_owners || page.last() == last;
                page
            }
            Some(_) | None => new(),
        });
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.take();
    }

    fn take(&self, number: u64) -> Option<Page> {
        let mut pages = self.0.borrow_mut();
        let place = pages.iter().position(|page| page.number == number)?;
        pages.remove(place)
    }

    fn put(&self, page: Page) {
        let mut pages = self.0.borrow_mut();
        if pages.len() >= PAGES_KEPT {
            pages.pop_front();
        }
        pages.push_back(page);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;
    use crate::services::events::tests::occurrence;

    fn read(range: RangeInclusive<u64>) -> Vec<Rc<Occurrence>> {
        range.map(|seq| Rc::new(occurrence(seq, 1, 2))).collect()
    }

    fn kept(pages: &Pages, after: u64) -> Option<(u64, u64)> {
        let found = pages.behind(after, false)?;
        assert!(found.is_sorted_by(|one, next| one.event.seq + 1 == next.event.seq));
        Some((found.first()?.event.seq, found.last()?.event.seq))
    }

    #[test]
    fn pages_end_at_fixed_places() {
        assert_eq!([0, 1, 127, 128, 300].map(rest_of_page), [128, 127, 1, 128, 84]);
        assert_eq!(rest_of_page(u64::MAX), 1);
    }

    #[test]
    fn what_was_read_is_found_from_any_place_in_it() {
        let pages = Pages::default();
        pages.keep(&read(1..=128), false);
        assert_eq!(kept(&pages, 0), Some((1, 128)));
        assert_eq!(kept(&pages, 127), Some((128, 128)));
        assert_eq!(kept(&pages, 128), None, "the next page was not read");
        pages.keep(&[], false);
        pages.keep(&read(140..=150), false);
        assert_eq!(kept(&pages, 138), None, "there would be a gap");
        assert_eq!(kept(&pages, 139), Some((140, 150)));
        assert_eq!(kept(&pages, 150), None);
    }

    #[test]
    fn a_page_grows_with_the_log() {
        let pages = Pages::default();
        pages.keep(&read(10..=20), false);
        pages.keep(&read(21..=22), false);
        assert_eq!(kept(&pages, 9), Some((10, 22)));
        // One reads it from its beginning, and further than the other has come.
        pages.keep(&read(1..=25), false);
        assert_eq!(kept(&pages, 0), Some((1, 25)));
        pages.keep(&read(23..=30), false);
        assert_eq!(kept(&pages, 0), Some((1, 30)));
        pages.keep(&read(5..=6), false);
        assert_eq!(kept(&pages, 0), Some((1, 30)));
        pages.keep(&read(40..=41), false);
        assert_eq!((kept(&pages, 0), kept(&pages, 39)), (None, Some((40, 41))));
    }

    #[test]
    fn who_needs_owners_is_given_none_without() {
        let pages = Pages::default();
        pages.keep(&read(1..=5), false);
        assert!(pages.behind(0, true).is_none());
        pages.keep(&read(1..=5), true);
        assert!(pages.behind(0, true).is_some());
        pages.keep(&read(3..=5), false);
        assert!(pages.behind(0, true).is_some(), "nothing came to it");
        pages.keep(&read(6..=6), false);
        assert!(pages.behind(0, true).is_none());
        assert!(pages.behind(0, false).is_some());
    }

    #[test]
    fn few_are_kept_those_that_are_used() {
        let pages = Pages::default();
        for page in 0..=PAGES_KEPT as u64 {
            let first = page * u64::from(PAGE_EVENTS) + 1;
            pages.keep(&read(first..=first), false);
            assert!(kept(&pages, 0).is_some());
        }
        assert_eq!(pages.0.borrow().len(), PAGES_KEPT);
        assert_eq!(kept(&pages, PAGE_EVENTS.into()), None);
        pages.clear();
        assert_eq!(kept(&pages, 0), None);
    }
}
