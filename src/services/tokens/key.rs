//! The signing key and the file that holds it.
//!
//! Owns how a key is made, kept private and named. Knows nothing of tokens.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

/// The name of the key file in the data directory.
pub const KEY_FILE: &str = "signing.key";
/// Bytes of a key: as many as HMAC-SHA-256 gives security for (RFC 7518 §3.2).
pub(super) const KEY_BYTES: usize = 32;

/// The key that signs tokens.
#[derive(Debug, Clone)]
pub struct SigningKey {
    secret: SecretSlice<u8>,
    id: String,
}

/// Why there is no signing key. All are faults of the set-up.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot use the signing key {}: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold 64 hexadecimal digits.
    #[error("{} is not a signing key: it must hold 64 hexadecimal digits (openssl rand -hex 32)", .0.display())]
    Malformed(PathBuf),
    /// A directory of keys has none.
    #[error("there is no *.key in {}", .0.display())]
    None(PathBuf),
    /// A directory of keys has very many.
    #[error("there are more than {most} keys in {}", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
        /// How many there may be.
        most: usize,
    },
    /// Others can read the file.
    #[error("the signing key {} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl SigningKey {
    /// Reads the key of a file that must exist.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io_error = |source| KeyError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        let reader = std::fs::metadata("/proc/self").map_err(io_error)?.uid();
        let mode = metadata.mode() & 0o777;
        if is_exposed(mode, metadata.uid(), reader) {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut hex = String::new();
        file.take(1_024).read_to_string(&mut hex).map_err(io_error)?;
        let secret =
            const_hex::decode_to_array(hex.trim()).map_err(|_| KeyError::Malformed(path.to_owned()))?;
        Ok(Self::from_secret(secret))
    }

    /// Reads the key of a file, or makes both with mode 0600 and what is missing of the way to it with mode 0700. Two
    /// programs that start at once get one key.
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        match make_key_file(path) {
            Ok(()) => tracing::info!(path = %path.display(), "made a new signing key"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }),
        }
        Self::read(path)
    }

    pub(super) fn from_secret(secret: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::digest(secret);
        let id = const_hex::encode(&digest[..8]);
        Self { secret: secret.to_vec().into(), id }
    }

    /// The key's public name, its `kid`: the start of its SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the key, by which a store knows it. The key is 32 random bytes, so nobody finds it from this.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.secret()).into()
    }

    /// The key itself, for those that sign and verify.
    pub(super) fn secret(&self) -> &[u8] {
        self.secret.expose_secret()
    }
}

/// Whether others can read a file of `mode` and `owner`. Its group may where it is root's and not the reader's own:
/// that is how Kubernetes mounts secrets for users that are not root, and what Postgres allows for its key.
const fn is_exposed(mode: u32, owner: u32, reader: u32) -> bool {
    const ROOT: u32 = 0;
    let others = if owner == ROOT && reader != ROOT { 0o037 } else { 0o077 };
    mode & others != 0
}

/// Writes the key beside its place and links it there, so that nobody reads half a key. The link is on disk when this
/// returns: a key that a power cut took would take all tokens with it, and its place in a Postgres that knows it.
fn make_key_file(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut secret = [0; KEY_BYTES];
    getrandom::fill(&mut secret)?;
    let hex = const_hex::encode(secret);
    let (draft, mut file) = make_draft(path)?;
    let written = writeln!(file, "{hex}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    linked.and_then(|()| File::open(directory)?.sync_all())
}

/// A new file beside `path`. Its name has never been used: a process that was killed leaves its draft behind, and in a
/// container the next one has the same process id.
fn make_draft(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    let draft = path.with_extension(format!("draft-{}", const_hex::encode(name)));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    Ok((draft, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_read_what_root_gave_it() {
        let (root, user) = (0, 65_532);
        assert!(!is_exposed(0o440, root, user) && !is_exposed(0o640, root, user));
        assert!(is_exposed(0o440, user, user) && is_exposed(0o440, root, root));
        assert!(is_exposed(0o444, root, user) && is_exposed(0o660, root, user));
    }

    /// As a process leaves them that was killed while it made a key, in a container where every process has one id.
    #[test]
    fn a_draft_that_was_left_behind_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        std::fs::write(path.with_extension(format!("draft-{}", std::process::id())), "half a k").unwrap();
        SigningKey::read_or_make(&path).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let path = directory.join(KEY_FILE);
        let made = SigningKey::read_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::read_or_make(&path).unwrap().id(), made.id());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);

        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Exposed { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Malformed(_))));
    }
}
