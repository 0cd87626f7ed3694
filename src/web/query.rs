//! Query strings into typed structs (`application/x-www-form-urlencoded`).
//!
//! Owns a strict serde decoder: unknown and repeated parameters, broken percent-encoding and text
//! that is not UTF-8 are refused. Knows no particular parameter.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::CowStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::invalid::{Invalid, Pointer};
use super::json::plain_message;
use super::percent;

/// Decodes `query`, the query component as sent, `""` when there is none.
///
/// `T` is a struct whose members are strings, integers, booleans, enums of plain names, types
/// that decode from a string, or options of these. An empty value is an empty string, not an
/// absent one. `#[serde(flatten)]` does not work here: it hides the types of the members.
pub fn decode<'de, T: Deserialize<'de>>(query: &'de str) -> Result<T, Invalid> {
    T::deserialize(Query(query)).map_err(Flaw::into_invalid)
}

/// What a parameter breaks. `parameter` is absent while serde's message names it.
#[derive(Debug)]
struct Flaw {
    parameter: Option<String>,
    message: String,
}

impl Flaw {
    fn of(parameter: &str, message: &str) -> Self {
        Self { parameter: Some(parameter.to_owned()), message: message.to_owned() }
    }

    fn into_invalid(self) -> Invalid {
        let (named, detail) = plain_message(&self.message);
        match self.parameter.as_deref().or(named) {
            Some(name) => Invalid::member(name, detail),
            None => Invalid::at(Pointer::root(), detail),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Flaw {}

impl serde::de::Error for Flaw {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { parameter: None, message: message.to_string() }
    }
}

struct Query<'de>(&'de str);

impl<'de> Deserializer<'de> for Query<'de> {
    type Error = Flaw;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_map(Pairs { rest: self.0, known, current: None })
    }

    /// Only a struct says which parameters are known, and refuses repeated ones.
    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Flaw> {
        Err(Flaw::custom("a query decodes into a struct only"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The parameters not yet read.
struct Pairs<'de> {
    rest: &'de str,
    known: &'static [&'static str],
    current: Option<(&'static str, &'de str)>,
}

impl<'de> Pairs<'de> {
    /// The next raw name and value. Empty pairs, as in `a=1&&b=2`, do not count.
    fn pop(&mut self) -> Option<(&'de str, &'de str)> {
        while !self.rest.is_empty() {
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !pair.is_empty() {
                return Some(pair.split_once('=').unwrap_or((pair, "")));
            }
        }
        None
    }

    /// The known name that `raw` stands for.
    fn identify(&self, raw: &str) -> Result<&'static str, Flaw> {
        let name = percent::decode_form(raw).ok_or_else(|| Flaw::of(raw, "is not percent-encoded UTF-8"))?;
        let known = self.known.iter().find(|known| ***known == *name);
        known.copied().ok_or_else(|| Flaw::of(&name, "is not a known parameter"))
    }
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Flaw;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Flaw> {
        let Some((raw_name, raw_value)) = self.pop() else {
            return Ok(None);
        };
        let name = self.identify(raw_name)?;
        self.current = Some((name, raw_value));
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Flaw> {
        let (name, raw) =
            self.current.take().ok_or_else(|| Flaw::custom("a value is read after its name"))?;
        let value =
            percent::decode_form(raw).ok_or_else(|| Flaw::of(name, "is not percent-encoded UTF-8"))?;
        seed.deserialize(Parameter(value)).map_err(|flaw| Flaw::of(name, &flaw.message))
    }
}

/// One decoded value.
struct Parameter<'de>(Cow<'de, str>);

impl Parameter<'_> {
    fn integer<T: std::str::FromStr>(&self, rust_type: &'static str) -> Result<T, Flaw> {
        let digits = self.0.strip_prefix('-').unwrap_or(&self.0);
        let found = Unexpected::Str(&self.0);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Flaw::invalid_type(found, &rust_type));
        }
        let parsed = self.0.parse();
        parsed.map_err(|_| Flaw::invalid_value(found, &rust_type))
    }
}

macro_rules! deserialize_integer {
    ($($method:ident $visit:ident $kind:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
            visitor.$visit(self.integer(stringify!($kind))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameter<'de> {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Flaw::invalid_type(Unexpected::Str(other), &"true or false")),
        }
    }

    deserialize_integer! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_enum(CowStrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::web::json::Text;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        #[default]
        Pending,
        Posted,
    }

    /// A type that decodes from a string with a rule of its own.
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(try_from = "Text<'_>")]
    struct Currency([u8; 3]);

    impl TryFrom<Text<'_>> for Currency {
        type Error = &'static str;

        fn try_from(text: Text<'_>) -> Result<Self, &'static str> {
            let code = text.as_bytes().try_into();
            code.map(Self).map_err(|_| "must be three letters")
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct List<'a> {
        limit: Option<u8>,
        #[serde(borrow)]
        cursor: Option<Text<'a>>,
        from: Option<i64>,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        status: Status,
        currency: Option<Currency>,
    }

    #[derive(Debug, Deserialize)]
    struct Cpu {
        #[expect(dead_code, reason = "only whether it decodes matters")]
        ms: u32,
    }

    #[test]
    fn decodes_typed_parameters() {
        let list: List<'_> =
            decode("limit=50&&cursor=a%2Bb+c&from=-7&flag=true&status=posted&currency=EUR").unwrap();
        let expected = List {
            limit: Some(50),
            cursor: Some(Text("a+b c".into())),
            from: Some(-7),
            flag: true,
            status: Status::Posted,
            currency: Some(Currency(*b"EUR")),
        };
        assert_eq!(list, expected);
    }

    #[test]
    fn absent_parameters_take_their_defaults() {
        let list: List<'_> = decode("").unwrap();
        assert_eq!((list.limit, list.flag, list.status), (None, false, Status::Pending));
    }

    #[test]
    fn plain_text_is_borrowed() {
        let list: List<'_> = decode("cursor=abc").unwrap();
        assert!(matches!(list.cursor, Some(Text(Cow::Borrowed("abc")))));
    }

    #[test]
    fn refusals_point_to_the_parameter() {
        let cases = [
            ("nope=1", "/nope", "is not a known parameter"),
            ("a%2Fb=1", "/a~1b", "is not a known parameter"),
            ("=1", "/", "is not a known parameter"),
            ("limit=1&limit=2", "/limit", "appears twice"),
            ("limit=1&%6cimit=2", "/limit", "appears twice"),
            ("limit=", "/limit", "must be an integer"),
            ("limit", "/limit", "must be an integer"),
            ("limit=1.0", "/limit", "must be an integer"),
            ("limit=%2B1", "/limit", "must be an integer"),
            ("limit=+1", "/limit", "must be an integer"),
            ("limit=-", "/limit", "must be an integer"),
            ("limit=256", "/limit", "must be an integer from 0 to 255"),
            ("limit=-1", "/limit", "must be an integer from 0 to 255"),
            (
                "from=99999999999999999999",
                "/from",
                "must be an integer from -9223372036854775808 to 9223372036854775807",
            ),
            ("flag=yes", "/flag", "must be true or false"),
            ("status=lost", "/status", "must be pending or posted"),
            ("currency=euro", "/currency", "must be three letters"),
            ("cursor=%zz", "/cursor", "is not percent-encoded UTF-8"),
            ("cursor=%ff", "/cursor", "is not percent-encoded UTF-8"),
            ("%ff=1", "/%ff", "is not percent-encoded UTF-8"),
        ];
        for (query, pointer, detail) in cases {
            let refusal = decode::<List<'_>>(query).unwrap_err();
            assert_eq!(refusal, Invalid::member(&unescape(pointer), detail), "{query}");
            assert_eq!(refusal.errors[0].pointer.as_str(), pointer);
        }
    }

    fn unescape(pointer: &str) -> String {
        pointer[1..].replace("~1", "/")
    }

    #[test]
    fn a_required_parameter_is_named() {
        let refusal = decode::<Cpu>("").unwrap_err();
        assert_eq!(refusal, Invalid::member("ms", "is required"));
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in "\\PC{0,40}|((limit|from|cursor)?[=&%+f0-9-]{0,4}){0,6}") {
            let _ = decode::<List<'_>>(&query);
        }
    }
}
