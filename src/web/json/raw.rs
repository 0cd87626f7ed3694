//! JSON text that goes into a reply as it stands.
//!
//! Knows nothing of where the text comes from.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// JSON text, such as a stored [`JsonObject`](super::JsonObject), written into a document without
/// being decoded. Text that is not JSON fails the encoding. For `serde_json` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawJson<'a>(pub &'a str);

impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::json::to_bytes;

    #[derive(Serialize)]
    struct Row<'a> {
        metadata: Option<RawJson<'a>>,
    }

    #[test]
    fn raw_json_must_be_json() {
        let row = |text| to_bytes(&Row { metadata: Some(RawJson(text)) });
        assert_eq!(row(r#"{"a":1}"#).unwrap(), r#"{"metadata":{"a":1}}"#);
        assert!(row(r#"{"a":1"#).is_err());
        assert_eq!(to_bytes(&Row { metadata: None }).unwrap(), r#"{"metadata":null}"#);
    }
}
