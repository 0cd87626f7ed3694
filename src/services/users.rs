//! Users: registration and login. Passwords are hashed with argon2id on the CPU pool, never on a core that
//! serves requests.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};

use super::{ServiceError, Services};
use crate::models::posting::{Command, Outcome, RegisterUser};
use crate::models::{Actor, Role, User, UserId, Username};
use crate::store::Credentials;
use crate::telemetry::ids::uuid_v7;

/// The shortest password, in characters (NIST SP 800-63B §5.1.1.2).
const PASSWORD_MIN_CHARS: usize = 8;
/// The longest password, in bytes: argon2 would take more, but hashing is paid by us.
pub const PASSWORD_MAX_BYTES: usize = 1_024;

/// A hash that no password has, with the parameters of a fresh one: a login of a user who does not exist
/// costs as much as any other.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cmluZ2xlZGdlci1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password that is never printed and is wiped when it is dropped.
pub type Password = SecretString;

/// The text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {PASSWORD_MIN_CHARS} characters to {PASSWORD_MAX_BYTES} bytes long")]
pub struct InvalidPassword;

/// Whether a new password is neither too short nor too long.
pub fn check_password(password: &str) -> Result<(), InvalidPassword> {
    let long_enough = password.chars().count() >= PASSWORD_MIN_CHARS;
    if long_enough && password.len() <= PASSWORD_MAX_BYTES { Ok(()) } else { Err(InvalidPassword) }
}

/// Hashes a password to a PHC string: argon2id, 19 MiB, two passes, one lane (the first choice of the OWASP
/// password storage cheat sheet). Takes some 20 ms of CPU time.
pub fn hash_password(password: &Password) -> Result<String, ServiceError> {
    Argon2::default()
        .hash_password(password.expose_secret().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| ServiceError::Internal(format!("cannot hash a password: {error}")))
}

fn password_matches(password: &Password, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok()
    })
}

/// The user who was found under a name, if this is their password. Takes equal work whether or not there is one:
/// some 20 ms of CPU time.
pub fn authenticate(found: Option<&Credentials>, password: &Password) -> Option<User> {
    let hash = found.and_then(|found| found.password_hash.as_deref());
    let matches = password_matches(password, hash.unwrap_or(NOBODY));
    found.filter(|_| hash.is_some() && matches).map(|found| found.user.clone())
}

impl Services {
    /// Makes a user who may log in.
    pub async fn register(&self, username: Username, password: Password) -> Result<User, ServiceError> {
        let password_hash = self.compute(move || hash_password(&password)).await??;
        let command = register_command(username, Role::User, password_hash);
        match self.lane.submit(command).await? {
            Outcome::Registered(user) => Ok(user),
            Outcome::UsernameTaken => Err(ServiceError::UsernameTaken),
            _ => Err(ServiceError::UnexpectedOutcome),
        }
    }

    /// The user with this name and password. Wrong name and wrong password take equal work.
    pub async fn log_in(&self, username: &str, password: Password) -> Result<User, ServiceError> {
        let found = self.reader.credentials(username).await?;
        let user = self.compute(move || authenticate(found.as_ref(), &password)).await?;
        user.ok_or(ServiceError::WrongCredentials)
    }

    /// The actor's own user.
    pub async fn user(&self, actor: Actor) -> Result<User, ServiceError> {
        self.reader.user(actor.id).await?.ok_or(ServiceError::NotFound)
    }
}

/// The command that makes a user.
pub fn register_command(username: Username, role: Role, password_hash: String) -> Command {
    let id = UserId::from_uuid(uuid_v7());
    Command::RegisterUser(RegisterUser { id, username, role, password_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_of_nobody_costs_what_a_login_costs() {
        let fresh = hash_password(&"correct horse".into()).unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(&fresh), parameters(NOBODY));
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(password_matches(&"correct horse".into(), &fresh));
        assert!(!password_matches(&"wrong horse".into(), &fresh));
        assert!(!password_matches(&"".into(), NOBODY));
    }
}
