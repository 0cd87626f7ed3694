//! Which media type to send (RFC 9110 §12.5.1), and whether a body is JSON (§8.3).
//!
//! Knows the fields' grammar only; what is on offer is the caller's.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// Weight of a media range without `q`, in thousandths.
const FULL_QUALITY: u16 = 1000;

/// The index of the offered media type that `Accept` likes best; of equals, the first offered.
/// `None`: none is acceptable (406).
///
/// A range's parameters must all be offered too, save `charset`, since all text here is UTF-8.
/// Malformed ranges are skipped; a field without any range accepts everything.
pub fn best(headers: &HeaderMap, offered: &[&'static str]) -> Option<usize> {
    match exact(headers, offered) {
        Some(index) => Some(index),
        None => weigh(headers, offered),
    }
}

/// The answer for what nearly every client sends: nothing, `*/*`, or one of the offered types.
fn exact(headers: &HeaderMap, offered: &[&'static str]) -> Option<usize> {
    let mut values = headers.get_all(ACCEPT).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(0),
        (Some(value), None) if value == "*/*" => Some(0),
        (Some(value), None) => offered.iter().position(|media_type| value == media_type),
        (Some(_), Some(_)) => None,
    }
    .filter(|index| *index < offered.len())
}

fn weigh(headers: &HeaderMap, offered: &[&'static str]) -> Option<usize> {
    if ranges(headers).next().is_none() {
        return (!offered.is_empty()).then_some(0);
    }
    let mut best = (0, None);
    for (index, media_type) in offered.iter().enumerate() {
        let quality = quality(headers, media_type);
        if quality > best.0 {
            best = (quality, Some(index));
        }
    }
    best.1
}

/// The weight of `media_type`: that of the most specific range it falls in, 0 without one.
fn quality(headers: &HeaderMap, media_type: &str) -> u16 {
    ranges(headers)
        .filter_map(|range| Some((range.specificity(media_type)?, range.quality)))
        .max()
        .map_or(0, |(_, quality)| quality)
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = Range<'_>> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_unquoted(value, ','))
        .filter_map(Range::parse)
}

/// One element of `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    element: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        let (kind, subtype) = essence(element)?;
        if kind == "*" && subtype != "*" {
            return None;
        }
        let weight = parameters(element).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = match weight {
            Some((_, text)) => parse_quality(text)?,
            None => FULL_QUALITY,
        };
        Some(Self { kind, subtype, element, quality })
    }

    /// How closely this range describes `media_type`; `None` when it does not.
    fn specificity(&self, media_type: &str) -> Option<usize> {
        let (kind, subtype) = essence(media_type)?;
        if self.kind == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        if self.subtype == "*" {
            return Some(1);
        }
        if !self.subtype.eq_ignore_ascii_case(subtype) {
            return None;
        }
        self.shared_parameters(media_type).map(|shared| 2 + shared)
    }

    /// How many parameters this range demands, if `media_type` has them all.
    fn shared_parameters(&self, media_type: &str) -> Option<usize> {
        let mut shared = 0;
        for (name, value) in parameters(self.element) {
            if name.eq_ignore_ascii_case("q") || name.eq_ignore_ascii_case("charset") {
                continue;
            }
            let is_offered = parameters(media_type).any(|(known, offered)| {
                known.eq_ignore_ascii_case(name) && offered.eq_ignore_ascii_case(value)
            });
            if !is_offered {
                return None;
            }
            shared += 1;
        }
        Some(shared)
    }
}

/// Whether the body is said to be `application/json`, at most with `charset=utf-8`. Anything
/// else, nothing and two fields are not (415).
pub fn content_type_is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value == "application/json" || is_json(value),
        (None | Some(_), _) => false,
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let Some((kind, subtype)) = essence(text) else {
        return false;
    };
    let is_utf8 = |(name, value): (&str, &str)| {
        name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
    };
    kind.eq_ignore_ascii_case("application")
        && subtype.eq_ignore_ascii_case("json")
        && parameters(text).all(is_utf8)
}

/// Type and subtype of a media type or range.
fn essence(media_type: &str) -> Option<(&str, &str)> {
    let end = media_type.find(';').unwrap_or(media_type.len());
    let (kind, subtype) = trim(&media_type[..end]).split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some((kind, subtype))
}

/// Parameters of a media type, values without their quotes. One without `=` has an empty value.
fn parameters(media_type: &str) -> impl Iterator<Item = (&str, &str)> {
    split_unquoted(media_type, ';')
        .skip(1)
        .map(trim)
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (name, unquote(value)))
}

fn unquote(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// Splits at `separator` outside quoted strings (RFC 9110 §5.6.4).
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            _ if was_escaped => false,
            '\\' => {
                is_escaped = is_quoted;
                false
            }
            '"' => {
                is_quoted = !is_quoted;
                false
            }
            other => other == separator && !is_quoted,
        }
    })
}

/// Thousandths of a `qvalue` (RFC 9110 §12.4.2): 0 to 1 with at most three decimals.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_decimal = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !is_decimal {
        return None;
    }
    let thousandths =
        decimals.bytes().zip([100, 10, 1]).map(|(digit, weight)| u16::from(digit - b'0') * weight).sum();
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(FULL_QUALITY),
        _ => None,
    }
}

/// `text` without optional whitespace (RFC 9110 §5.6.3).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    const STATEMENT: &[&str] = &["application/pdf", "text/csv"];

    fn headers(name: &http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let pairs = values.iter().map(|value| (name.clone(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn accepted(accept: &[&'static str], offered: &[&'static str]) -> Option<&'static str> {
        best(&headers(&ACCEPT, accept), offered).map(|index| offered[index])
    }

    #[test]
    fn chooses_the_best_liked() {
        let pdf = Some("application/pdf");
        let csv = Some("text/csv");
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], pdf),
            (&[""], pdf),
            (&["*/*"], pdf),
            (&["text/csv"], csv),
            (&["TEXT/CSV"], csv),
            (&["text/csv, */*"], pdf),
            (&["text/csv, */*;q=0.9"], csv),
            (&["text/*"], csv),
            (&["text/*;q=0.5, application/*;q=0.4"], csv),
            (&["application/pdf;q=0.1, text/csv;q=0.10"], pdf),
            (&["application/pdf;q=0.1,text/csv;q=0.101"], csv),
            (&["*/*, application/pdf;q=0"], csv),
            (&["*/*;q=0.1", "text/csv"], csv),
            (&["application/pdf;q=0, text/*;q=0"], None),
            (&["image/png"], None),
            (&["image/png, */*;q=0"], None),
            (&["text/csv;charset=utf-8"], csv),
            (&["text/csv;header=present"], None),
            (&["text/csv ; q=0.5 , application/pdf ; Q=0.4"], csv),
            (&["text/csv;x=\"a,b;q=0\", application/pdf;q=0.1"], pdf),
            (&["nonsense"], pdf),
            (&["*/csv"], pdf),
            (&["text/csv;q=2, application/pdf;q=0.1"], pdf),
            (&["text/csv;q=, text/csv;q=0.1234"], pdf),
            (&["nonsense, text/csv"], csv),
        ];
        for (accept, expected) in cases {
            assert_eq!(accepted(accept, STATEMENT), *expected, "{accept:?}");
        }
    }

    #[test]
    fn scrapers_get_the_format_they_ask_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let offered = &[PLAIN, OPENMETRICS];
        assert_eq!(accepted(&[prometheus], offered), Some(OPENMETRICS));
        assert_eq!(accepted(&["text/plain"], offered), Some(PLAIN));
        let old = "application/openmetrics-text;version=0.0.1";
        assert_eq!(accepted(&[old], offered), None);
    }

    #[test]
    fn nothing_on_offer_is_never_acceptable() {
        for accept in [&[][..], &["*/*"], &["text/csv"], &["nonsense"]] {
            assert_eq!(accepted(accept, &[]), None, "{accept:?}");
        }
    }

    #[test]
    fn fields_beyond_ascii_are_skipped() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_bytes(b"text/csv;\xff").unwrap());
        headers.append(ACCEPT, HeaderValue::from_static("text/csv"));
        assert_eq!(best(&headers, STATEMENT), Some(1));
    }

    #[test]
    fn json_is_recognised_strictly() {
        let cases: &[(&[&str], bool)] = &[
            (&["application/json"], true),
            (&["Application/JSON"], true),
            (&["application/json; charset=utf-8"], true),
            (&["application/json;charset=\"UTF-8\""], true),
            (&["application/json;"], true),
            (&[" application/json "], true),
            (&[], false),
            (&[""], false),
            (&["application/json; charset=latin1"], false),
            (&["application/json; charset"], false),
            (&["application/json; version=1"], false),
            (&["application/jsonx"], false),
            (&["application/problem+json"], false),
            (&["text/json"], false),
            (&["application/json, application/json"], false),
            (&["application/json", "application/json"], false),
        ];
        for (values, expected) in cases {
            let headers = headers(&CONTENT_TYPE, values);
            assert_eq!(content_type_is_json(&headers), *expected, "{values:?}");
        }
    }
}
