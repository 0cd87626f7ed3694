//! Paths to look up in the router, by name.

/// A route of one segment, one with a parameter, no route, and the longest of the table.
pub(crate) const PATHS: [(&str, &str); 4] = [
    ("plaintext", "/plaintext"),
    ("account", "/api/v1/accounts/01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d"),
    ("unknown", "/api/v1/unknown"),
    ("deepest", "/api/v1/accounts/01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d/entries"),
];
