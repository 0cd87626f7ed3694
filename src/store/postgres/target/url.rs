//! The grammar of a `postgres://` URL as libpq reads it (its manual, "Connection URIs"): from text to
//! parameters by name. Knows nothing of what a parameter means.

use percent_encoding::percent_decode_str;

use super::BadTarget;

/// Parameters by libpq's names, each of which is taken out by whoever knows what it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a URL. A parameter that is given twice has its last value, also where the first stood in front of
    /// the `?`.
    pub(super) fn of(url: &str) -> Result<Self, BadTarget> {
        let rest = ["postgres://", "postgresql://"]
            .into_iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or(BadTarget::Scheme)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (credentials, hosts) = match authority.split_once('@') {
            Some((credentials, hosts)) => (credentials, hosts),
            None => ("", authority),
        };
        if hosts.contains('@') || tail.contains('@') {
            return Err(BadTarget::Unescaped);
        }
        let mut parameters = Self(Vec::new());
        parameters.read_credentials(credentials)?;
        parameters.read_hosts(hosts)?;
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        parameters.set("dbname", path.strip_prefix('/').unwrap_or(path))?;
        parameters.read_query(query)?;
        Ok(parameters)
    }

    fn read_credentials(&mut self, credentials: &str) -> Result<(), BadTarget> {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.set("user", user)?;
        self.set("password", password)
    }

    fn read_hosts(&mut self, list: &str) -> Result<(), BadTarget> {
        let mut hosts = Vec::new();
        let mut ports = Vec::new();
        for host in list.split(',') {
            let (host, port) = split_port(host)?;
            hosts.push(host);
            ports.push(port);
        }
        self.set("host", &hosts.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            self.set("port", &ports.join(","))?;
        }
        Ok(())
    }

    fn read_query(&mut self, query: &str) -> Result<(), BadTarget> {
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(BadTarget::Separator)?;
            if value.contains('=') {
                return Err(BadTarget::Separator);
            }
            match (decoded(name)?.as_str(), value) {
                // As the JDBC driver spells it.
                ("ssl", "true") => self.set("sslmode", "require")?,
                (name, _) => self.set(name, value)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadTarget> {
        let value = decoded(value)?;
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1).filter(|value| !value.is_empty())
    }

    /// Takes a choice by its name out of `choices`.
    pub(super) fn take_choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, BadTarget> {
        let Some(value) = self.take(name) else { return Ok(None) };
        if let Some(&(_, choice)) = choices.iter().find(|(choice, _)| *choice == value) {
            return Ok(Some(choice));
        }
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        Err(BadTarget::Value { name, wanted: names.join(", ") })
    }

    /// Takes a whole number. Like libpq, reads one that is not positive as absent.
    pub(super) fn take_positive(&mut self, name: &'static str) -> Result<Option<u32>, BadTarget> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number: i32 =
            value.parse().map_err(|_| BadTarget::Value { name, wanted: "a whole number".to_owned() })?;
        Ok(u32::try_from(number).ok().filter(|&number| number > 0))
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(self) -> Result<(), BadTarget> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(BadTarget::Unknown(name)),
            None => Ok(()),
        }
    }
}

/// A host of the authority and its port, either of which may be empty. An IPv6 address stands in brackets.
fn split_port(host: &str) -> Result<(&str, &str), BadTarget> {
    let (host, rest) = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(BadTarget::Brackets)?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if rest.is_empty() => Ok((host, "")),
        None => Err(BadTarget::Brackets),
    }
}

fn decoded(text: &str) -> Result<String, BadTarget> {
    let digits = |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(digits) {
        return Err(BadTarget::Escape);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| BadTarget::Escape)?;
    if decoded.contains('\0') {
        return Err(BadTarget::Escape);
    }
    Ok(decoded.into_owned())
}
