//! A JSON object of the caller's own, kept as text.
//!
//! Owns its bounds and its compact form. Knows nothing of what the members mean.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RawJson, Text};

#[cfg(test)]
mod tests;

/// An object of any members, at most `MAX_BYTES` as compact text and `MAX_DEPTH` levels deep, the
/// object itself being the first.
///
/// Members keep their order; a member given twice is refused at any level. Numbers keep their
/// value: integers exactly from `i64::MIN` to `u64::MAX`, all others as the shortest text of the
/// nearest `f64`; the decoder itself refuses integers beyond that range. Decodes from any self-describing format, encodes by `serde_json` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonObject<const MAX_BYTES: usize = 4096, const MAX_DEPTH: usize = 16>(String);

impl<const MAX_BYTES: usize, const MAX_DEPTH: usize> JsonObject<MAX_BYTES, MAX_DEPTH> {
    /// The object as compact JSON; [`RawJson`] writes it into a reply again.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object as compact JSON with the members of every object sorted by name, so that objects which differ
    /// in the order of members alone have one text.
    pub fn to_sorted_string(&self) -> String {
        // Without serde_json's `preserve_order` its maps are sorted, and text of ours is always an object.
        let sorted = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.0);
        sorted.and_then(|sorted| serde_json::to_string(&sorted)).unwrap_or_else(|_| self.0.clone())
    }
}

impl<const MAX_BYTES: usize, const MAX_DEPTH: usize> Serialize for JsonObject<MAX_BYTES, MAX_DEPTH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawJson(&self.0).serialize(serializer)
    }
}

impl<'de, const MAX_BYTES: usize, const MAX_DEPTH: usize> Deserialize<'de>
    for JsonObject<MAX_BYTES, MAX_DEPTH>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::new();
        let root = Compact { text: &mut text, max_depth: MAX_DEPTH, depth: 0 };
        deserializer.deserialize_map(ObjectVisitor(root))?;
        // At the end, so that the error points to the object and not to the member that was one
        // too many; until then the bound on the body holds.
        if text.len() > MAX_BYTES {
            return Err(D::Error::custom(format_args!("is larger than {MAX_BYTES} bytes as compact JSON")));
        }
        String::from_utf8(text).map(Self).map_err(D::Error::custom)
    }
}

/// Accepts an object only.
struct ObjectVisitor<'t>(Compact<'t>);

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.0.visit_map(members)
    }
}

/// Writes the value it visits to `text`, `depth` levels of arrays and objects around it.
struct Compact<'t> {
    text: &'t mut Vec<u8>,
    max_depth: usize,
    depth: usize,
}

impl Compact<'_> {
    fn write<E: Error>(&mut self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut *self.text, &value).map_err(E::custom)
    }

    /// The writer for what an array or object holds.
    fn inner<E: Error>(&mut self) -> Result<Compact<'_>, E> {
        let max_depth = self.max_depth;
        if self.depth == max_depth {
            return Err(E::custom(format_args!("nests deeper than {max_depth} levels")));
        }
        Ok(Compact { text: self.text, max_depth, depth: self.depth + 1 })
    }

    fn reborrow(&mut self) -> Compact<'_> {
        Compact { text: self.text, ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for Compact<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Compact<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        if value.is_finite() {
            self.write(value)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &"a finite number"))
        }
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.write(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut inner = self.inner()?;
        inner.text.push(b'[');
        let first = inner.text.len();
        loop {
            // Whether there is a next element shows only when it is asked for: the comma goes
            // first and is taken back at the end.
            let end = inner.text.len();
            if end > first {
                inner.text.push(b',');
            }
            if elements.next_element_seed(inner.reborrow())?.is_none() {
                inner.text.truncate(end);
                inner.text.push(b']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut inner = self.inner()?;
        let mut names = HashSet::new();
        inner.text.push(b'{');
        while let Some(name) = members.next_key::<Text<'de>>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{}`", &*name)));
            }
            if !names.is_empty() {
                inner.text.push(b',');
            }
            inner.write(&*name)?;
            inner.text.push(b':');
            members.next_value_seed(inner.reborrow())?;
            names.insert(name);
        }
        inner.text.push(b'}');
        Ok(())
    }
}
