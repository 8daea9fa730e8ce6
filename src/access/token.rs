//! The token that is shown where others than this machine may ask.
//!
//! In: a variable of the environment, or the system's randomness. Out: a token that is compared in constant time and never shown by `Debug`.

use std::fmt::Write as _;

use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// The variable that fixes the token, so that scripts know it.
pub const TOKEN_VARIABLE: &str = "RESURGE_LIVE_TOKEN";
/// The least length of a token, in characters.
const LEAST: usize = 16;

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// What was given is too short, or holds something else than printable characters.
    #[error("it must hold at least 16 printable characters and no spaces, as `openssl rand -hex 16` prints")]
    Unfit,
    /// The system has no randomness to give.
    #[error("the system has no random numbers to make one of")]
    NoRandomness,
}

/// A token.
#[derive(Debug, Clone)]
pub struct AccessToken {
    secret: SecretString,
    is_chosen: bool,
}

impl AccessToken {
    /// The token that `chosen` holds, such as the text of [`TOKEN_VARIABLE`]; without one, 128 random bits.
    ///
    /// # Errors
    /// [`NoToken`].
    pub fn new(chosen: Option<&str>) -> Result<Self, NoToken> {
        match chosen.map(str::trim) {
            None | Some("") => Self::random(),
            Some(text) if text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Self { secret: text.into(), is_chosen: true })
            }
            Some(_) => Err(NoToken::Unfit),
        }
    }

    /// 128 random bits, as 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`NoToken::NoRandomness`].
    pub fn random() -> Result<Self, NoToken> {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoToken::NoRandomness)?;
        let mut text = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Memory can always be written.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self { secret: text.into(), is_chosen: false })
    }

    /// Whether somebody chose it: then they know it, and it is shown nowhere.
    #[must_use]
    pub const fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// The token itself, for who starts the program.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// As the server of the embedded target keeps it.
    #[must_use]
    pub fn into_secret(self) -> SecretString {
        self.secret
    }

    /// Whether `shown` is it. How long that takes tells nothing but whether the length is right.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        shown.as_bytes().ct_eq(self.expose().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_chosen_or_random_and_never_weak() {
        let made = AccessToken::new(None).unwrap();
        assert!(made.expose().len() == 32 && made.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!made.is_chosen() && !AccessToken::new(Some("")).unwrap().is_chosen());
        assert_ne!(made.expose(), AccessToken::random().unwrap().expose());
        let chosen = AccessToken::new(Some("0123456789abcdef\n")).unwrap();
        assert!(chosen.is_chosen() && chosen.is("0123456789abcdef"));
        for weak in ["short", "0123456789 abcdef", "0123456789abcdé"] {
            assert_eq!(AccessToken::new(Some(weak)).unwrap_err(), NoToken::Unfit, "{weak}");
        }
        assert!(!format!("{chosen:?}").contains("0123456789"), "{chosen:?}");
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = AccessToken::new(Some("0123456789abcdef")).unwrap();
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }
}
