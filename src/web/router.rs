//! Finds the route of a method and a path.
//!
//! Owns a table of the paths without parameters and a tree of the others' segments, built once from the route table.
//! Knows nothing of what a route does: the caller chooses the type. A lookup allocates nothing; parameters borrow
//! from the path.

use std::borrow::Cow;
use std::str::FromStr;

use http::{HeaderValue, Method};

use super::percent;

#[cfg(test)]
mod tests;

/// Parameters a template may have; keeps [`Params`] a small value on the stack.
pub const MAX_PARAMS: usize = 4;

/// Routes by path, then by method.
///
/// - A literal segment beats a parameter; where the literal leads nowhere the parameter is tried.
/// - `/a` and `/a/` are different paths, and a parameter is never empty.
/// - Literals are compared as sent, so a path with needless percent-encoding is not found.
/// - `GET` answers `HEAD` too, and every path answers `OPTIONS`.
/// - `*`, which asks about the server as a whole (RFC 9110 §9.3.7), knows `OPTIONS` only and allows every method
///   that any path knows.
#[derive(Debug)]
pub struct Router<R> {
    /// Paths without parameters, by their length: a path is compared with those of its own length only
    /// (`benches/instructions router_plaintext`).
    fixed: Vec<Vec<(Box<str>, Endpoint<R>)>>,
    /// All other paths.
    root: Node<R>,
    asterisk: Endpoint<R>,
}

/// What a lookup found.
#[derive(Debug)]
pub enum Match<'a, R> {
    /// The route for this method and path.
    Found {
        /// As given to [`Router::new`].
        route: &'a R,
        /// The path's parameters, still percent-encoded inside.
        params: Params<'a>,
    },
    /// `OPTIONS` on a known path.
    Options {
        /// Value of the `Allow` field.
        allow: &'a HeaderValue,
    },
    /// The path is known, with other methods (405).
    MethodNotAllowed {
        /// Value of the `Allow` field.
        allow: &'a HeaderValue,
    },
    /// No such path (404).
    NotFound,
}

impl<R> Router<R> {
    /// Builds the router from `(method, template, route)`.
    ///
    /// A template is `/` or `/`-separated segments, each a literal or a `{name}`.
    ///
    /// # Panics
    ///
    /// On a malformed template, more than [`MAX_PARAMS`] parameters, a route given twice, or
    /// `HEAD` or `OPTIONS`, which the router derives: errors in the program, found at start-up.
    pub fn new<'t>(routes: impl IntoIterator<Item = (Method, &'t str, R)>) -> Self {
        let (mut fixed, mut root) = (Vec::new(), Node::default());
        let mut methods = Vec::new();
        for (method, template, route) in routes {
            if !methods.contains(&method) {
                methods.push(method.clone());
            }
            assert!(
                method != Method::HEAD && method != Method::OPTIONS,
                "route {method} {template}: HEAD and OPTIONS are derived"
            );
            let segments = parse_template(template);
            let names: Box<[_]> = segments.iter().filter_map(Segment::name).collect();
            let endpoint =
                if names.is_empty() { of_path(&mut fixed, template) } else { root.endpoint(&segments) };
            endpoint.add(Route { method, names, target: route }, template);
        }
        Self { fixed, root, asterisk: Endpoint { routes: Vec::new(), allow: allow_of(methods.iter()) } }
    }

    /// Looks up `method` on `path`, the path component of the request target as sent.
    pub fn find<'a>(&'a self, method: &Method, path: &'a str) -> Match<'a, R> {
        if let Some(endpoint) = self.fixed(path) {
            return endpoint.select(method, Default::default());
        }
        let mut values = Values::default();
        let found = match path.strip_prefix('/') {
            Some(rest) => self.root.descend(Some(rest), &mut values),
            None => (path == "*").then_some(&self.asterisk),
        };
        match found {
            Some(endpoint) => endpoint.select(method, values.0),
            None => Match::NotFound,
        }
    }

    fn fixed(&self, path: &str) -> Option<&Endpoint<R>> {
        let of_length = self.fixed.get(path.len())?;
        of_length.iter().find(|(known, _)| **known == *path).map(|(_, endpoint)| endpoint)
    }
}

/// The endpoint of a path without parameters.
fn of_path<'f, R>(fixed: &'f mut Vec<Vec<(Box<str>, Endpoint<R>)>>, path: &str) -> &'f mut Endpoint<R> {
    if fixed.len() <= path.len() {
        fixed.resize_with(path.len() + 1, Vec::new);
    }
    let of_length = &mut fixed[path.len()];
    let known = of_length.iter().position(|(known, _)| **known == *path);
    let index = known.unwrap_or_else(|| {
        of_length.push((path.into(), Endpoint::empty()));
        of_length.len() - 1
    });
    &mut of_length[index].1
}

/// The parameters of a matched path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params<'a> {
    names: &'a [Box<str>],
    values: [&'a str; MAX_PARAMS],
}

/// Why a path parameter has no value of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The route's template has no such parameter: an error in the program.
    #[error("the route has no parameter `{name}`")]
    Unknown {
        /// The parameter asked for.
        name: &'static str,
    },
    /// Broken percent-encoding, or not UTF-8 once decoded.
    #[error("path parameter `{name}` is not percent-encoded UTF-8")]
    Encoding {
        /// The parameter asked for.
        name: &'static str,
    },
    /// The text is not a value of the wanted type.
    #[error("path parameter `{name}` is malformed")]
    Value {
        /// The parameter asked for.
        name: &'static str,
    },
}

impl<'a> Params<'a> {
    /// The decoded text of the parameter `name`.
    pub fn text(&self, name: &'static str) -> Result<Cow<'a, str>, ParamError> {
        let mut pairs = self.names.iter().zip(self.values);
        let (_, raw) = pairs.find(|(known, _)| &***known == name).ok_or(ParamError::Unknown { name })?;
        percent::decode(raw).ok_or(ParamError::Encoding { name })
    }

    /// The parameter `name` as a `T`.
    pub fn parse<T: FromStr>(&self, name: &'static str) -> Result<T, ParamError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| ParamError::Value { name })
    }
}

/// A path up to some segment, and what may follow it.
#[derive(Debug)]
struct Node<R> {
    literals: Vec<(Box<str>, Node<R>)>,
    parameter: Option<Box<Node<R>>>,
    endpoint: Option<Endpoint<R>>,
}

impl<R> Default for Node<R> {
    fn default() -> Self {
        Self { literals: Vec::new(), parameter: None, endpoint: None }
    }
}

/// A path that is known.
#[derive(Debug)]
struct Endpoint<R> {
    routes: Vec<Route<R>>,
    allow: HeaderValue,
}

#[derive(Debug)]
struct Route<R> {
    method: Method,
    names: Box<[Box<str>]>,
    target: R,
}

/// Parameter values found so far. Filled like a stack, so that a dead end can be backed out of.
#[derive(Default)]
struct Values<'p>([&'p str; MAX_PARAMS], usize);

impl<R> Node<R> {
    /// Walks `rest`, the segments after this node; `None` once the path has ended. Recursion is
    /// as deep as the longest template, however long the path.
    fn descend<'p>(&self, rest: Option<&'p str>, values: &mut Values<'p>) -> Option<&Endpoint<R>> {
        let Some(rest) = rest else {
            return self.endpoint.as_ref();
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        self.descend_literal(segment, rest, values).or_else(|| self.descend_parameter(segment, rest, values))
    }

    fn descend_literal<'p>(
        &self,
        segment: &str,
        rest: Option<&'p str>,
        values: &mut Values<'p>,
    ) -> Option<&Endpoint<R>> {
        let (_, child) = self.literals.iter().find(|(text, _)| **text == *segment)?;
        child.descend(rest, values)
    }

    fn descend_parameter<'p>(
        &self,
        segment: &'p str,
        rest: Option<&'p str>,
        values: &mut Values<'p>,
    ) -> Option<&Endpoint<R>> {
        let child = self.parameter.as_ref().filter(|_| !segment.is_empty())?;
        let index = values.1;
        *values.0.get_mut(index)? = segment;
        values.1 = index + 1;
        let found = child.descend(rest, values);
        if found.is_none() {
            values.1 = index;
        }
        found
    }

    /// The endpoint of a path with these segments.
    fn endpoint(&mut self, segments: &[Segment<'_>]) -> &mut Endpoint<R> {
        let node = segments.iter().fold(self, |node, segment| node.child(segment));
        node.endpoint.get_or_insert_with(Endpoint::empty)
    }

    fn child(&mut self, segment: &Segment<'_>) -> &mut Self {
        match segment {
            Segment::Parameter(_) => self.parameter.get_or_insert_default(),
            Segment::Literal(text) => {
                let known = self.literals.iter().position(|(known, _)| **known == **text);
                let index = known.unwrap_or_else(|| {
                    self.literals.push(((*text).into(), Self::default()));
                    self.literals.len() - 1
                });
                &mut self.literals[index].1
            }
        }
    }
}

impl<R> Endpoint<R> {
    fn empty() -> Self {
        Self { routes: Vec::new(), allow: HeaderValue::from_static("OPTIONS") }
    }

    fn add(&mut self, route: Route<R>, template: &str) {
        let method = &route.method;
        assert!(
            self.routes.iter().all(|known| known.method != *method),
            "route {method} {template} is given twice"
        );
        self.routes.push(route);
        self.allow = allow_of(self.routes.iter().map(|route| &route.method));
    }

    fn select<'a>(&'a self, method: &Method, values: [&'a str; MAX_PARAMS]) -> Match<'a, R> {
        let wanted = match method {
            &Method::HEAD => &Method::GET,
            other => other,
        };
        let allow = &self.allow;
        match self.routes.iter().find(|route| route.method == *wanted) {
            Some(route) => {
                Match::Found { route: &route.target, params: Params { names: &route.names, values } }
            }
            None if *method == Method::OPTIONS => Match::Options { allow },
            None => Match::MethodNotAllowed { allow },
        }
    }
}

/// Value of the `Allow` field (RFC 9110 §10.2.1) for a path with these routed methods.
fn allow_of<'m>(methods: impl Iterator<Item = &'m Method>) -> HeaderValue {
    let mut text = String::new();
    for method in methods {
        text.push_str(method.as_str());
        text.push_str(if *method == Method::GET { ", HEAD, " } else { ", " });
    }
    text.push_str("OPTIONS");
    HeaderValue::try_from(text).expect("methods are tokens, tokens are visible ASCII")
}

enum Segment<'t> {
    Literal(&'t str),
    Parameter(&'t str),
}

impl Segment<'_> {
    fn name(&self) -> Option<Box<str>> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) => Some((*name).into()),
        }
    }
}

fn parse_template(template: &str) -> Vec<Segment<'_>> {
    let Some(rest) = template.strip_prefix('/') else {
        panic!("template `{template}` does not start with `/`");
    };
    if rest.is_empty() {
        return vec![Segment::Literal("")];
    }
    let segments: Vec<_> = rest.split('/').map(|segment| parse_segment(segment, template)).collect();
    check_names(&segments, template);
    segments
}

fn parse_segment<'t>(segment: &'t str, template: &str) -> Segment<'t> {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let (text, parsed) = match name {
        Some(name) => (name, Segment::Parameter(name)),
        None => (segment, Segment::Literal(segment)),
    };
    // RFC 3986 unreserved: what a client sends for these is never percent-encoded differently.
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    assert!(
        !text.is_empty() && text.bytes().all(is_unreserved),
        "template `{template}` has a bad segment `{segment}`"
    );
    parsed
}

fn check_names(segments: &[Segment<'_>], template: &str) {
    let names: Vec<_> = segments.iter().filter_map(Segment::name).collect();
    assert!(names.len() <= MAX_PARAMS, "template `{template}` has more than {MAX_PARAMS} parameters");
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name), "template `{template}` has the parameter `{name}` twice");
    }
}
