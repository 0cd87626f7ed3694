//! The files that the binary carries: pages of HTML, the words of the OpenAPI document, the fonts of
//! statements, and what clap makes of the command line: completion scripts and the manual. The binary would need more code to make
//! those than they have bytes; tests of the command line hold that they tell of it as it is.
//!
//! They are packed (RFC 1951), which makes the binary 0.1 MB smaller, and unpacked where one is first asked for, which takes
//! a millisecond at most. Knows nothing of what they are for.

/// A file, packed.
#[derive(Debug, Clone, Copy)]
pub struct Packed(&'static [u8]);

/// The page that shows what a server does.
pub const DASHBOARD: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/dashboard.html")));
/// The page that shows the interface.
pub const DOCS: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/docs.html")));
/// What people write of the interface.
pub const OPENAPI: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/openapi.yaml")));
/// Completion scripts of the command line, for one shell each.
pub mod completions {
    use super::Packed;

    /// bash(1)
    pub const BASH: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/bash")));
    /// <https://elv.sh>
    pub const ELVISH: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/elvish")));
    /// fish(1)
    pub const FISH: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/fish")));
    /// pwsh(1)
    pub const POWERSHELL: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/powershell")));
    /// zsh(1)
    pub const ZSH: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/zsh")));
}

/// All manual pages, see [`manual`].
const MANUAL: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/man")));
/// Inter, regular.
pub const INTER_REGULAR: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/inter-regular.otf")));
/// Inter, semi-bold.
pub const INTER_SEMIBOLD: Packed = Packed(include_bytes!(concat!(env!("OUT_DIR"), "/inter-semibold.otf")));

impl Packed {
    /// The file.
    ///
    /// # Panics
    ///
    /// When the binary is damaged.
    pub fn unpack(self) -> Vec<u8> {
        miniz_oxide::inflate::decompress_to_vec(self.0).expect("build.rs has packed it")
    }

    /// The file, which is text.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn text(self) -> String {
        String::from_utf8(self.unpack()).expect("pages and words are UTF-8")
    }
}

/// The manual pages of `version`: the name of each file and what is in it.
pub fn manual(version: &str) -> Vec<(String, String)> {
    let all = MANUAL.text().replace("{{version}}", version);
    let mut pages = Vec::new();
    for line in all.split_inclusive('\n') {
        match (line.strip_prefix("== "), pages.last_mut()) {
            (Some(name), _) => pages.push((name.trim_end().to_owned(), String::new())),
            (None, Some((_, page))) => page.push_str(line),
            (None, None) => {}
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_again() {
        assert!(DASHBOARD.text() == include_str!("dashboard.html"));
        assert!(DOCS.text() == include_str!("docs.html"));
        assert!(OPENAPI.text() == include_str!("openapi.yaml"));
        assert!(INTER_REGULAR.unpack() == include_bytes!("fonts/inter-regular.otf"));
        assert!(INTER_SEMIBOLD.unpack() == include_bytes!("fonts/inter-semibold.otf"));
    }
}
