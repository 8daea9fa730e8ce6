//! Handshakes that bear a signature instead of a token.
//!
//! In: the rules, a request's path, query and headers, the time. Out: whose signature it is, or a refusal in the words that AWS's services use. No I/O, no
//! clock.

use secrecy::ExposeSecret as _;

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::{SignatureKey, Signatures};
use crate::signing::{SignatureFault, read_presented};

use super::limits::ClientLimits;
use super::open::Holds;
use super::refusal::{HandshakeRefusal, status_of};
use super::rules::{Handshake, TargetState};

/// Whose signature a GET bears.
///
/// # Errors
/// Why it is not taken.
pub fn judge(
    rules: &Signatures,
    (path, query): (&str, &str),
    header: impl Fn(&str) -> Option<String>,
    unix_us: u64,
) -> Result<String, SignatureFault> {
    let presented = read_presented(query, &header)?;
    if rules.takes_any {
        return presented.check_time(unix_us, rules.tolerance.as_secs()).map(|()| presented.access_key);
    }
    if !presented.is_for(&rules.purpose) {
        return Err(SignatureFault::AnotherScope);
    }
    let is_key = |key: &&SignatureKey| key.access_key_id == presented.access_key;
    let is_shown = |key: &&SignatureKey| {
        key.session_token.as_ref().map(|token| token.expose_secret()) == presented.session_token.as_deref()
    };
    let key = rules.keys.iter().filter(is_key).find(is_shown).ok_or(SignatureFault::UnknownKey)?;
    presented.check_time(unix_us, rules.tolerance.as_secs())?;
    let is_signed = presented.is_signed_by(&key.secret_access_key, &rules.purpose, path, header);
    if is_signed { Ok(presented.access_key) } else { Err(SignatureFault::Mismatch) }
}

/// The cause of a refusal, its code and its sentence.
const fn refusal_of(fault: SignatureFault) -> (Cause, (&'static str, &'static str)) {
    match fault {
        SignatureFault::Missing => (Cause::NoToken, ("signature.missing", "Missing Authentication Token")),
        SignatureFault::Incomplete => (Cause::UnknownToken, ("signature.incomplete", "Incomplete signature")),
        SignatureFault::AnotherScope => (
            Cause::UnknownToken,
            ("signature.scope", "Credential should be scoped to a valid region and to the correct service."),
        ),
        SignatureFault::UnknownKey => {
            (Cause::UnknownToken, ("signature.key", "The security token included in the request is invalid."))
        }
        SignatureFault::NotYet => (Cause::ForbiddenOther, ("signature.early", "Signature not yet current")),
        SignatureFault::Expired => (Cause::ExpiredToken, ("signature.expired", "Signature expired")),
        SignatureFault::Mismatch => (
            Cause::UnknownToken,
            (
                "signature.mismatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
            ),
        ),
    }
}

impl TargetState {
    /// Answers an upgrade request that was judged so, for the message stream of that number.
    pub fn handshake_signed(
        &mut self,
        now: Moment,
        judged: Result<&str, SignatureFault>,
        stream: Option<u64>,
    ) -> Handshake {
        let access_key = match judged {
            Ok(access_key) => access_key,
            Err(fault) => {
                let (cause, words) = refusal_of(fault);
                let status = status_of(self.rules.refusal_status, cause);
                return self.refuse(now, HandshakeRefusal { status, cause, words, retry_after: None });
            }
        };
        let client = ClientLimits::are_needed(&self.rules).then(|| self.limits.key(access_key));
        self.let_in(now, Holds::Nothing, client, stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::SecretString;

    use super::*;
    use crate::scenario::keys::TargetRules;
    use crate::signing::{Credentials, Purpose, sign_query};

    const AT: u64 = 1_440_938_160;

    fn rules() -> Signatures {
        let purpose =
            Purpose { service: "iotdevicegateway".into(), region: "eu-1".into(), signs_session_token: false };
        let key = |id: &str, token: Option<&str>| SignatureKey {
            access_key_id: id.into(),
            secret_access_key: SecretString::from("hush"),
            session_token: token.map(SecretString::from),
        };
        let keys = vec![key("A", None), key("B", Some("t"))];
        Signatures { purpose, tolerance: Duration::from_secs(300), keys, takes_any: false }
    }

    fn judged(change: impl Fn(&mut Credentials, &mut Purpose), after: i64) -> Result<String, SignatureFault> {
        let rules = rules();
        let mut credentials = Credentials {
            access_key: "B".into(),
            secret_key: SecretString::from("hush"),
            session_token: Some(SecretString::from("t")),
        };
        let mut purpose = rules.purpose.clone();
        change(&mut credentials, &mut purpose);
        let query = sign_query(("/mqtt", ""), "h", &credentials, &purpose, (AT, 60));
        let header = |name: &str| (name == "host").then(|| "h".to_owned());
        let now = AT.checked_add_signed(after).unwrap() * 1_000_000;
        judge(&rules, ("/mqtt", &query), header, now)
    }

    #[test]
    fn a_signature_is_taken_for_what_it_is() {
        assert_eq!(judged(|_, _| {}, 5), Ok("B".to_owned()));
        let alone = |credentials: &mut Credentials, _: &mut Purpose| {
            (credentials.access_key, credentials.session_token) = ("A".into(), None);
        };
        assert_eq!(judged(alone, 5), Ok("A".to_owned()));
        type Change = fn(&mut Credentials, &mut Purpose);
        let rows: [(Change, i64, SignatureFault); 8] = [
            (|_, _| {}, 61, SignatureFault::Expired),
            (|_, _| {}, -400, SignatureFault::NotYet),
            (|credentials, _| credentials.access_key = "C".into(), 0, SignatureFault::UnknownKey),
            (|credentials, _| credentials.session_token = None, 0, SignatureFault::UnknownKey),
            (
                |credentials, _| credentials.session_token = Some(SecretString::from("x")),
                0,
                SignatureFault::UnknownKey,
            ),
            (|credentials, _| credentials.secret_key = SecretString::from("x"), 0, SignatureFault::Mismatch),
            (|_, purpose| purpose.region = "us-1".into(), 0, SignatureFault::AnotherScope),
            (|_, purpose| purpose.signs_session_token = true, 0, SignatureFault::Mismatch),
        ];
        for (change, after, fault) in rows {
            assert_eq!(judged(change, after), Err(fault), "{after}");
        }
    }

    #[test]
    fn a_handshake_is_answered_by_its_signature() {
        let rules = TargetRules { signatures: Some(rules()), ..TargetRules::default() };
        let mut target = TargetState::new(rules, 1);
        assert!(matches!(target.handshake_signed(Moment::ZERO, Ok("A"), None), Handshake::Admitted { .. }));
        for (fault, cause) in [
            (SignatureFault::Missing, Cause::NoToken),
            (SignatureFault::Incomplete, Cause::UnknownToken),
            (SignatureFault::AnotherScope, Cause::UnknownToken),
            (SignatureFault::UnknownKey, Cause::UnknownToken),
            (SignatureFault::NotYet, Cause::ForbiddenOther),
            (SignatureFault::Expired, Cause::ExpiredToken),
            (SignatureFault::Mismatch, Cause::UnknownToken),
        ] {
            let Handshake::Refused(refusal) = target.handshake_signed(Moment::ZERO, Err(fault), None) else {
                panic!("{fault:?}")
            };
            assert_eq!((refusal.status, refusal.cause), (403, cause));
        }
    }
}
