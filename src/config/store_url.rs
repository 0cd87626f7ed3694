//! The address of a Postgres store, which may hold a password. Owns what is
//! accepted as one and how it looks without its secrets; opens no connection.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// What takes the place of a secret in anything that is printed.
const HIDDEN: &str = "***";
/// Parameters of a libpq URI that hold a secret
/// (its manual, "Parameter Key Words").
const SECRET_PARAMETERS: [&str; 3] = ["password", "sslpassword", "oauth_client_secret"];

/// Why a text is not the address of a store. Never quotes the text: it may
/// hold a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStoreUrl {
    /// Another scheme, or none.
    #[error("does not begin with postgres:// or postgresql://")]
    Scheme,
    /// White space or a control character.
    #[error("holds white space or a control character")]
    Blank,
    /// An `@` that does not end the user and password, so that a part of a
    /// password could be taken for a host.
    #[error(
        "holds an unescaped character: within user, password and parameters write @ as %40, / as %2F, ? as %3F, # as %23"
    )]
    Unescaped,
}

/// An accepted `postgres://` URL. Debug, Display and Serialize leave out the
/// password; only [`StoreUrl::expose`] has it.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct StoreUrl(SecretString);

impl StoreUrl {
    /// The whole URL with its password, for connecting.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = BadStoreUrl;

    fn try_from(text: String) -> Result<Self, BadStoreUrl> {
        let (_, rest) = split_scheme(&text).ok_or(BadStoreUrl::Scheme)?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(BadStoreUrl::Blank);
        }
        let authority = &rest[..authority_end(rest)];
        let at_signs = rest.matches('@').count();
        if at_signs > 1 || at_signs != authority.matches('@').count() {
            return Err(BadStoreUrl::Unescaped);
        }
        Ok(Self(SecretString::from(text)))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = split_scheme(self.expose()).expect("a URL without scheme is never constructed");
        let (authority, tail) = rest.split_at(authority_end(rest));
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        write!(f, "{scheme}{}{path}", without_password(authority))?;
        for (index, parameter) in query.split('&').filter(|p| !p.is_empty()).enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{}", without_value_if_secret(parameter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The scheme with its `://`, and what follows.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    ["postgres://", "postgresql://"]
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .map(|rest| (&text[..text.len() - rest.len()], rest))
}

/// Where user, password and hosts end (RFC 3986, section 3.2).
fn authority_end(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

fn without_password(authority: &str) -> String {
    let Some((credentials, hosts)) = authority.split_once('@') else {
        return authority.to_owned();
    };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:{HIDDEN}@{hosts}"),
        None => authority.to_owned(),
    }
}

fn without_value_if_secret(parameter: &str) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    // libpq decodes names too, so an escaped one is still a password.
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    if SECRET_PARAMETERS.iter().any(|secret| decoded.eq_ignore_ascii_case(secret)) {
        format!("{name}={HIDDEN}")
    } else {
        parameter.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<StoreUrl, BadStoreUrl> {
        StoreUrl::try_from(text.to_owned())
    }

    #[test]
    fn shows_everything_but_secrets() {
        let cases = [
            ("postgres://u:hunter2@h:5432/db", "postgres://u:***@h:5432/db"),
            ("postgresql://u:a:b@h1,h2:5433/db?x=1", "postgresql://u:***@h1,h2:5433/db?x=1"),
            ("postgres://h:5432/db", "postgres://h:5432/db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            (
                "postgres:///db?host=/run/pg&password=s&user=u",
                "postgres:///db?host=/run/pg&password=***&user=u",
            ),
            ("postgres://h/db?pass%77ord=s", "postgres://h/db?pass%77ord=***"),
            ("postgres://u:s@h?sslpassword=s", "postgres://u:***@h?sslpassword=***"),
        ];
        for (given, shown) in cases {
            let url = url(given).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("StoreUrl({shown})"));
            assert_eq!(url.expose(), given);
        }
    }

    #[test]
    fn refuses_what_could_show_a_part_of_a_password() {
        for text in [
            "postgres://u:p/w@h/db",
            "postgres://u:p?w@h/db",
            "postgres://u:p#w@h/db",
            "postgres://u:p@w@h/db",
        ] {
            assert_eq!(url(text).unwrap_err(), BadStoreUrl::Unescaped, "{text}");
        }
    }

    #[test]
    fn refuses_other_schemes_and_blanks() {
        assert_eq!(url("12345").unwrap_err(), BadStoreUrl::Scheme);
        assert_eq!(url("mysql://h").unwrap_err(), BadStoreUrl::Scheme);
        assert_eq!(url("postgres://h/db\n").unwrap_err(), BadStoreUrl::Blank);
    }
}
