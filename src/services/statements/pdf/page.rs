//! How a statement looks: where things stand on a page and in which size. Knows nothing of files or pages to come;
//! what is known only at the end (sums, the number of pages) stands in forms, which pages name and the end writes.
//!
//! All lengths are in points on A4. Amounts stand under each other by their last figure.

use pdf_writer::Name;

use super::super::Heading;
use super::super::amounts::{balance, date_and_time, moment, written};
use super::font::Weight;
use super::objects::{PAGE_HEIGHT, PAGE_WIDTH};
use super::pen::{Pen, Style};
use crate::store::statements::Line;

/// The form with the number of pages.
pub(super) const PAGE_COUNT: Name<'static> = Name(b"N");
/// The form with the balances and sums.
pub(super) const SUMMARY: Name<'static> = Name(b"T");

const MARGIN: f32 = 48.0;
const LEFT: f32 = MARGIN;
const RIGHT: f32 = PAGE_WIDTH - MARGIN;
/// Baseline of the running header.
const HEADER: f32 = PAGE_HEIGHT - 40.0;
/// Baseline of the footer.
const FOOTER: f32 = 36.0;
/// What stands between header and footer ends here.
const BOTTOM: f32 = 56.0;
/// The tops of the first page and of all others below the header.
const TOP: f32 = HEADER - 14.0;

/// Columns: dates and words begin here, amounts end here.
const DATE: f32 = LEFT;
const WORDS: f32 = LEFT + 64.0;
const BALANCE: f32 = RIGHT;
const PAID_IN: f32 = BALANCE - 88.0;
const PAID_OUT: f32 = PAID_IN - 76.0;
/// Room of an amount; the longest that there are are made smaller.
const AMOUNT_WIDTH: f32 = 70.0;
const BALANCE_WIDTH: f32 = 80.0;
const WORDS_WIDTH: f32 = PAID_OUT - AMOUNT_WIDTH - 6.0 - WORDS;

const INK: f32 = 0.08;
const MUTED: f32 = 0.40;
const HAIR: f32 = 0.82;

const TITLE: Style = Style { weight: Weight::SemiBold, size: 21.0, gray: INK };
const NAME: Style = Style { weight: Weight::Regular, size: 12.0, gray: MUTED };
const BODY: Style = Style { weight: Weight::Regular, size: 8.6, gray: INK };
const STRONG: Style = Style { weight: Weight::SemiBold, size: 8.6, gray: INK };
const DETAIL: Style = Style { weight: Weight::Regular, size: 7.0, gray: MUTED };
const LABEL: Style = Style { weight: Weight::SemiBold, size: 7.0, gray: MUTED };
const FIGURE: Style = Style { weight: Weight::SemiBold, size: 11.5, gray: INK };

/// From one line of words to the next.
const BODY_LEADING: f32 = 11.2;
/// The same of details.
const DETAIL_LEADING: f32 = 9.4;
/// From a row's edge to the top of its first line and from the last baseline to the other edge.
const ROW_TOP: f32 = 11.6;
const ROW_BOTTOM: f32 = 5.6;
/// Lines that a description may take.
const WORDS_LINES: usize = 2;

/// Room of a fact above the table; the names of users are the longest.
const FACT_WIDTH: f32 = 222.0;

/// The height of [`SUMMARY`], and of the area behind it.
pub(super) const SUMMARY_HEIGHT: f32 = 46.0;
/// The width of [`SUMMARY`].
pub(super) const SUMMARY_WIDTH: f32 = RIGHT - LEFT;

/// The sums of the entries so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) entries: u64,
    pub(super) paid_in: i128,
    /// Positive.
    pub(super) paid_out: i128,
}

impl Sums {
    pub(super) fn add(&mut self, line: &Line) {
        let amount = i128::from(line.amount.minor_units());
        self.entries += 1;
        if amount < 0 {
            self.paid_out -= amount;
        } else {
            self.paid_in += amount;
        }
    }
}

/// A row of the table, laid out.
pub(super) struct Row {
    date: String,
    time: String,
    words: Vec<String>,
    details: Vec<String>,
    paid_out: Option<String>,
    paid_in: Option<String>,
    balance: String,
}

impl Row {
    /// The row of an entry.
    pub(super) fn of(pen: &Pen, line: &Line, decimals: usize) -> Self {
        let amount = i128::from(line.amount.minor_units());
        let is_out = amount < 0;
        let (date, time) = date_and_time(line.created_at);
        let fallback = if is_out { "Transfer sent" } else { "Transfer received" };
        let words = line.description.as_ref().map_or(fallback, |words| words.as_str());
        let mut wrapped = pen.wrap(BODY, WORDS_WIDTH, WORDS_LINES, words);
        if wrapped.is_empty() {
            wrapped.push(fallback.to_owned());
        }
        let mut details = vec![format!("{} {}", if is_out { "To" } else { "From" }, line.counterparty)];
        if let Some(reference) = &line.reference {
            let text = format!("Reference {reference}");
            details.push(pen.fit(DETAIL, WORDS_WIDTH, &text).into_owned());
        }
        let amount = written(amount.abs(), decimals);
        let (paid_out, paid_in) = if is_out { (Some(amount), None) } else { (None, Some(amount)) };
        Self {
            date,
            time,
            words: wrapped,
            details,
            paid_out,
            paid_in,
            balance: balance(line.balance, decimals),
        }
    }

    /// How high it is.
    pub(super) fn height(&self) -> f32 {
        height(self.words.len(), self.details.len())
    }

    /// Draws it below `top`; returns where it ends.
    pub(super) fn draw(&self, pen: &mut Pen, top: f32) -> f32 {
        let mut y = top - ROW_TOP;
        pen.text(DATE, y, BODY, &self.date);
        pen.text(DATE, y - BODY_LEADING + 0.6, DETAIL, &self.time);
        amounts(pen, y, BODY, [self.paid_out.as_deref(), self.paid_in.as_deref(), Some(&self.balance)]);
        for line in &self.words {
            pen.text(WORDS, y, BODY, line);
            y -= BODY_LEADING;
        }
        for line in &self.details {
            pen.text(WORDS, y + 0.6, DETAIL, line);
            y -= DETAIL_LEADING;
        }
        let bottom = top - self.height();
        pen.rule(LEFT, RIGHT, bottom, 0.4, HAIR);
        bottom
    }
}

/// The height of a row of so many lines.
fn height(words: usize, details: usize) -> f32 {
    let lines = |count: usize, leading: f32| f32::from(u8::try_from(count).unwrap_or(u8::MAX)) * leading;
    ROW_TOP + lines(words, BODY_LEADING) + lines(details, DETAIL_LEADING) - DETAIL_LEADING + ROW_BOTTOM
}

/// The amounts of a row: paid out, paid in, balance.
fn amounts(pen: &mut Pen, y: f32, style: Style, [paid_out, paid_in, balance]: [Option<&str>; 3]) {
    let columns = [
        (PAID_OUT, AMOUNT_WIDTH, paid_out),
        (PAID_IN, AMOUNT_WIDTH, paid_in),
        (BALANCE, BALANCE_WIDTH, balance),
    ];
    for (right, width, text) in columns {
        if let Some(text) = text {
            pen.amount_to(right, y, style, width, text);
        }
    }
}

/// Whether a row of this height has room below `top`.
pub(super) fn has_room(top: f32, height: f32) -> bool {
    top - height >= BOTTOM
}

/// Draws what every page has, and the head of the table; returns where the first row begins. `page` counts from 1.
pub(super) fn begin(pen: &mut Pen, heading: &Heading, page: u32) -> f32 {
    let account = format!("Account {}", heading.account.id);
    pen.text(LEFT, HEADER, DETAIL, &account);
    let period = format!("{} to {}", moment(heading.period.from), moment(heading.period.to));
    pen.text_to(RIGHT, HEADER, DETAIL, &period);
    pen.rule(LEFT, RIGHT, HEADER - 7.0, 0.4, HAIR);
    let end = pen.text(LEFT, FOOTER, DETAIL, &format!("Page {page} of "));
    pen.form(end, FOOTER, PAGE_COUNT);
    let units = format!("Amounts in {}, times in UTC", heading.account.currency);
    pen.text_to(RIGHT, FOOTER, DETAIL, &units);
    let top = if page == 1 { opening_block(pen, heading) } else { TOP };
    table_head(pen, top)
}

/// Title, facts and summary of the first page; returns where they end.
fn opening_block(pen: &mut Pen, heading: &Heading) -> f32 {
    let mut y = TOP - 36.0;
    pen.text(LEFT, y, TITLE, "Account statement");
    if let Some(name) = &heading.account.name {
        y -= 19.0;
        let name = pen.fit(NAME, SUMMARY_WIDTH, name.as_str()).into_owned();
        pen.text(LEFT, y, NAME, &name);
    }
    y -= 32.0;
    let owner = heading.owner.username.as_str();
    let owner_id = heading.owner.id.to_string();
    let (issued_on, issued_at) = date_and_time(heading.issued_at);
    let middle = LEFT + 230.0;
    let last = middle + 136.0;
    fact(pen, LEFT, y, "Account", &[&heading.account.id.to_string()]);
    fact(pen, middle, y, "From (inclusive)", &[&moment(heading.period.from)]);
    fact(pen, last, y, "To (exclusive)", &[&moment(heading.period.to)]);
    y -= 34.0;
    fact(pen, LEFT, y, "Owner", &[owner, &owner_id]);
    fact(pen, middle, y, "Currency", &[heading.account.currency.code()]);
    fact(pen, last, y, "Issued", &[&format!("{issued_on} {issued_at}")]);
    y -= 34.0 + SUMMARY_HEIGHT;
    pen.form(LEFT, y, SUMMARY);
    y - 14.0
}

/// A label with its value below, and a detail below that.
fn fact(pen: &mut Pen, x: f32, y: f32, label: &str, values: &[&str]) {
    pen.text(x, y, LABEL, label);
    for (place, value) in values.iter().enumerate() {
        let (drop, style) = if place == 0 { (11.8, BODY) } else { (21.6, DETAIL) };
        let value = pen.fit(style, FACT_WIDTH, value).into_owned();
        pen.text(x, y - drop, style, &value);
    }
}

/// The names of the columns; returns where the first row begins.
fn table_head(pen: &mut Pen, top: f32) -> f32 {
    let y = top - 13.0;
    pen.text(DATE, y, LABEL, "Date");
    pen.text(WORDS, y, LABEL, "Description");
    for (right, name) in [(PAID_OUT, "Paid out"), (PAID_IN, "Paid in"), (BALANCE, "Balance")] {
        pen.text_to(right, y, LABEL, name);
    }
    pen.rule(LEFT, RIGHT, y - 6.0, 0.8, INK);
    y - 6.0
}

/// A row with a balance and no entry, such as the balance that a page begins with; returns where it ends.
pub(super) fn balance_row(pen: &mut Pen, top: f32, words: &str, is_strong: bool, balance: &str) -> f32 {
    let style = if is_strong { STRONG } else { Style { gray: MUTED, ..BODY } };
    let y = top - ROW_TOP;
    pen.text(WORDS, y, style, words);
    amounts(pen, y, style, [None, None, Some(balance)]);
    let bottom = y - ROW_BOTTOM;
    pen.rule(LEFT, RIGHT, bottom, 0.4, HAIR);
    bottom
}

/// The height of [`closing_rows`].
pub(super) const CLOSING_HEIGHT: f32 = 2.0 * (ROW_TOP + ROW_BOTTOM);

/// The end of the table: how many entries there are, their sums and the closing balance.
pub(super) fn closing_rows(pen: &mut Pen, top: f32, heading: &Heading, sums: &Sums) {
    let y = top - ROW_TOP;
    let count = match sums.entries {
        0 => "No entries in this period".to_owned(),
        1 => "Total of 1 entry".to_owned(),
        many => format!("Total of {} entries", written(many.into(), 0)),
    };
    pen.text(WORDS, y, Style { gray: MUTED, ..BODY }, &count);
    let [paid_out, paid_in] = [sums.paid_out, sums.paid_in].map(|sum| written(sum, heading.decimals));
    if sums.entries > 0 {
        amounts(pen, y, Style { gray: MUTED, ..BODY }, [Some(&paid_out), Some(&paid_in), None]);
    }
    let bottom = y - ROW_BOTTOM;
    pen.rule(LEFT, RIGHT, bottom, 0.8, INK);
    let y = bottom - ROW_TOP;
    pen.text(WORDS, y, STRONG, "Closing balance");
    amounts(pen, y, STRONG, [None, None, Some(&balance(heading.closing, heading.decimals))]);
}

/// The content of [`SUMMARY`].
pub(super) fn summary(pen: &mut Pen, heading: &Heading, sums: &Sums) {
    pen.fill(0.0, 0.0, SUMMARY_WIDTH, SUMMARY_HEIGHT, 0.955);
    let cell = SUMMARY_WIDTH / 4.0;
    let cells = [
        ("Opening balance", balance(heading.opening, heading.decimals)),
        ("Paid in", written(sums.paid_in, heading.decimals)),
        ("Paid out", written(sums.paid_out, heading.decimals)),
        ("Closing balance", balance(heading.closing, heading.decimals)),
    ];
    let mut left = 12.0;
    for (label, figure) in cells {
        pen.text(left, 29.0, LABEL, label);
        let figure_style = pen.shrunk(FIGURE, cell - 18.0, &figure);
        pen.text(left, 12.5, figure_style, &figure);
        left += cell;
    }
}

/// The content of [`PAGE_COUNT`].
pub(super) fn page_count(pen: &mut Pen, pages: u32) {
    pen.text(0.0, 0.0, DETAIL, &pages.to_string());
}
