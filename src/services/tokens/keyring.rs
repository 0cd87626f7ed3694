//! Several signing keys at once, so that one can take another's place without a token being refused.

use std::io;
use std::path::{Path, PathBuf};

use super::key::{KeyError, SigningKey};

/// What the files of keys in a directory end with.
const KEY_EXTENSION: &str = "key";
/// Keys at most. Protects the start from a directory of something else, and each unknown token from a long search.
const KEYS_MAX: usize = 64;

/// The keys whose tokens are accepted; the last one signs.
#[derive(Debug, Clone)]
pub struct Keyring {
    accepted: Vec<SigningKey>,
    signing: SigningKey,
}

impl From<SigningKey> for Keyring {
    fn from(key: SigningKey) -> Self {
        Self { accepted: Vec::new(), signing: key }
    }
}

impl Keyring {
    /// The keys of all files `*.key` of a directory, in the order of their names. Other files are passed over, as are
    /// those whose name begins with a dot: editors keep drafts so.
    pub fn read(directory: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Io { path: directory.to_owned(), source };
        let files = key_files(directory).map_err(unreadable)?;
        let keys = files.iter().map(|path| SigningKey::read(path));
        let mut accepted = keys.collect::<Result<Vec<_>, _>>()?;
        match accepted.pop() {
            None => Err(KeyError::None(directory.to_owned())),
            Some(_) if accepted.len() >= KEYS_MAX => {
                Err(KeyError::TooMany { directory: directory.to_owned(), most: KEYS_MAX })
            }
            Some(signing) => Ok(Self { accepted, signing }),
        }
    }

    /// The key that signs.
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// All keys, the one that signs first.
    pub fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.signing).chain(&self.accepted)
    }

    /// The public names of all keys, the one that signs first.
    pub fn ids(&self) -> Vec<&str> {
        self.all().map(SigningKey::id).collect()
    }
}

/// Sorted by name.
fn key_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        if !is_hidden && path.extension().is_some_and(|extension| extension == KEY_EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(directory: &Path, name: &str, byte: u8) {
        let path = directory.join(name);
        std::fs::write(&path, const_hex::encode([byte; 32])).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn the_last_key_by_name_signs_and_all_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Keyring::read(directory.path()), Err(KeyError::None(_))));
        write(directory.path(), "2026-02.key", 2);
        write(directory.path(), "2026-01.key", 1);
        write(directory.path(), "2026-03.key.draft", 3);
        std::fs::write(directory.path().join(".2026-04.key"), "half a ke").unwrap();
        let ring = Keyring::read(directory.path()).unwrap();
        let id = |byte| SigningKey::from_secret([byte; 32]).id().to_owned();
        assert_eq!(ring.signing().id(), id(2));
        assert_eq!(ring.ids(), [id(2), id(1)]);
    }

    #[test]
    fn one_bad_file_refuses_all() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "1.key", 1);
        let bad = directory.path().join("0.key");
        std::fs::write(&bad, "short").unwrap();
        std::fs::set_permissions(&bad, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Keyring::read(directory.path()), Err(KeyError::Malformed(path)) if path == bad));
        assert!(matches!(Keyring::read(&bad), Err(KeyError::Io { .. })));
    }
}
