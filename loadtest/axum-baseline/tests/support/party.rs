//! What is asked of both servers, and their replies without what differs from one run to the next.

use serde_json::{Value, json};

use super::Server;

/// One request and what is remembered of its reply.
#[derive(Clone, Default)]
pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Who asks, by the name that a token is remembered under.
    pub(crate) token: Option<&'static str>,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    /// The name under which the reply's id or token is remembered.
    pub(crate) keep: Option<&'static str>,
}

/// A GET without a token.
pub(crate) fn get(path: &str) -> Case {
    Case { method: "GET", path: path.into(), ..Case::default() }
}

/// A POST of text that claims to be JSON. `{name}` in path and body stands for what was remembered.
pub(crate) fn post(path: &str, body: &str) -> Case {
    let fields = vec![("content-type", "application/json".into())];
    Case { method: "POST", path: path.into(), body: Some(body.into()), fields, ..Case::default() }
}

/// A POST of a transfer by the operator with a key.
pub(crate) fn transfer(key: &str, body: &Value) -> Case {
    post("/api/v1/transfers", &body.to_string()).by("operator").field("idempotency-key", key)
}

/// A POST of a batch by the operator with a key.
pub(crate) fn batch(key: &str, body: &Value) -> Case {
    post("/api/v1/transfers/batch", &body.to_string()).by("operator").field("idempotency-key", key)
}

/// The body of a transfer in EUR.
pub(crate) fn euros(debit: &str, credit: &str, amount: i64) -> Value {
    json!({"debit_account": debit, "credit_account": credit, "amount": amount, "currency": "EUR"})
}

impl Case {
    /// With a token of that name.
    pub(crate) fn by(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Remembers the id or the token of the reply.
    pub(crate) fn keep(self, name: &'static str) -> Self {
        Self { keep: Some(name), ..self }
    }

    /// With a header field, in place of one of the same name.
    pub(crate) fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.retain(|(present, _)| *present != name);
        self.fields.push((name, value.into()));
        self
    }
}

/// A server and what its replies have made.
pub(crate) struct Party {
    pub(crate) server: Server,
    known: Vec<(String, String)>,
}

/// A reply without what differs from one run to the next.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    fields: Vec<(&'static str, Option<String>)>,
    body: Value,
}

/// Fields whose values must be the same.
const SAME: [&str; 6] =
    ["content-type", "cache-control", "etag", "www-authenticate", "idempotency-replayed", "retry-after"];
/// Fields that must be there on both sides or on neither.
const PRESENT: [&str; 6] = ["location", "link", "allow", "x-request-id", "date", "content-length"];

impl Party {
    /// With an operator and an id that nobody has.
    pub(crate) fn new(server: Server) -> Self {
        let operator = server.command(&["token", "--operator"]);
        let zero = "01990f7e-8a52-7c3a-9f10-000000000000";
        let known = vec![("operator".into(), operator), ("nobody".into(), zero.into())];
        Self { server, known }
    }

    fn filled(&self, text: &str) -> String {
        self.known
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The reply as it comes.
    pub(crate) fn send(&self, case: &Case) -> reqwest::blocking::Response {
        let mut request = self.server.request(case.method, &self.filled(&case.path));
        if let Some(token) = case.token {
            request = request.header("authorization", self.filled(&format!("Bearer {{{token}}}")));
        }
        for (name, value) in &case.fields {
            request = request.header(*name, value);
        }
        if let Some(body) = &case.body {
            request = request.body(self.filled(body));
        }
        request.send().unwrap()
    }

    /// The reply without what differs, after remembering what it made.
    pub(crate) fn ask(&mut self, case: &Case) -> Seen {
        let response = self.send(case);
        let status = response.status().as_u16();
        let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let mut fields: Vec<_> = SAME.iter().map(|name| (*name, text(name))).collect();
        fields.extend(PRESENT.iter().map(|name| (*name, text(name).map(|_| "present".to_owned()))));
        let body = response.text().unwrap();
        let mut body: Value = serde_json::from_str(&body).unwrap_or_else(|_| Value::String(body.clone()));
        if let Some(name) = case.keep {
            let made = body.get("id").or(body.get("access_token")).and_then(Value::as_str);
            let made = made.unwrap_or_else(|| panic!("{}: nothing was made: {body}", self.server.name));
            self.known.push((name.into(), made.into()));
        }
        self.mask(&mut body);
        Seen { status, fields, body }
    }

    /// Replaces what was remembered by its name, and what is always new by its kind.
    fn mask(&self, value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| match name.as_str() {
                "created_at" | "access_token" | "next_cursor" | "detail" | "instance" if !value.is_null() => {
                    *value = format!("a {name}").into();
                }
                _ => self.mask(value),
            }),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.mask(element)),
            Value::String(text) => {
                if let Some((name, _)) = self.known.iter().find(|(_, known)| known == text) {
                    *text = format!("{{{name}}}");
                } else if text.len() == 36 && text.matches('-').count() == 4 {
                    *text = "a uuid".into();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Sends each case to both; panics at the first difference.
pub(crate) fn compare(cases: &[Case], axum: &mut Party, ringledger: &mut Party) {
    for case in cases {
        let ours = ringledger.ask(case);
        let theirs = axum.ask(case);
        assert_eq!(
            theirs, ours,
            "axum (left) against ringledger at {} {} {:?}",
            case.method, case.path, case.body
        );
    }
}
