//! The verdict on handshakes that are signed (connect.sign).
//!
//! In: the case, a refusal. Out: a finding. Pure, as all of the verdict. A signature that was made a moment ago is not too old: where the service says
//! so, the clocks differ.

use crate::sample::Cause;
use crate::units::format_duration;

use super::finding::{Case, Finding, Kind, cannot_tell, finding};
use super::observation::Experiment;
use super::refused::Refused;

/// How far the clocks may differ without being the reason, in seconds.
const CLOCKS_AGREE_S: i64 = 60;

/// A signature that was made for this handshake was refused.
pub(super) fn signature_refused(first: &Refused) -> Finding {
    let told = first.told_and_said();
    let said = first.said().unwrap_or_default();
    let differs = first.clock_ahead_s.filter(|ahead| ahead.abs() > CLOCKS_AGREE_S);
    let is_of_time = first.cause == Cause::ExpiredToken || said.contains("early") || said.contains("not yet");
    if let Some(ahead) = differs.filter(|_| is_of_time || first.cause == Cause::Unknown) {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let by = format_duration(std::time::Duration::from_secs(ahead.unsigned_abs()));
        let sentence = format!(
            "The signature is refused ({told}), and the clocks differ: the service's is {by} {way} this machine's."
        );
        let change = "Set this machine's clock (NTP): a service takes a signature only within some minutes of its own time.";
        return finding(Kind::SignatureRefused, sentence, change);
    }
    if is_of_time {
        let sentence = format!(
            "The service takes a signature that was made a moment ago for one of another time ({told})."
        );
        let change = "Look at the clocks of this machine and of the service, and at what stands in front of it and may keep URLs.";
        return finding(Kind::SignatureRefused, sentence, change);
    }
    let change = match first.cause {
        Cause::NoToken => {
            "Put the signature where the service looks for it (connect.sign.signature_in), and look whether a proxy takes it away."
        }
        Cause::UnknownToken if said.contains("mismatch") || said.contains("does not match") => {
            "Correct secret_access_key; look whether the session token is to be signed (session_token_is), and whether a proxy changes Host or path."
        }
        Cause::UnknownToken if said.contains("scope") => {
            "Correct connect.sign.region and connect.sign.service."
        }
        Cause::UnknownToken => {
            "Correct access_key_id; temporary credentials need their session_token, and end with their own time."
        }
        Cause::MissingScope => "Let the key's policy allow it (execute-api:Invoke, iot:Connect).",
        _ => {
            return cannot_tell(
                &format!(
                    "a signature that was made a moment ago is refused ({told}), and the service does not say why"
                ),
                "the service's log, or the same request signed by the AWS CLI or SDK with the same keys: keys, region, service, session token and the key's policy may each be the reason",
            );
        }
    };
    let sentence = format!("The service does not take the signature ({told}).");
    finding(Kind::SignatureRefused, sentence, change)
}

/// The clients show their first signature again, and the service refuses one whose time is over.
pub(super) fn signature_reused(case: &Case<'_>) -> Option<Finding> {
    let reuses_for = case.reuses_signature?;
    let refused = case.refused(Experiment::OldSignature)?;
    let sentence = format!(
        "The clients come back with the signature of their first handshake (on_reconnect = \"reuse\"), and the service refuses one whose time is over ({}): theirs is good for {}.",
        refused.told_and_said(),
        format_duration(reuses_for)
    );
    let change = "Sign each handshake anew (connect.sign.on_reconnect = \"sign\").";
    Some(finding(Kind::SignatureExpires, sentence, change).needing_fresh_tokens())
}

#[cfg(test)]
mod tests {
    use super::super::refused::Manner;
    use super::*;
    use crate::lifecycle::{Evidence, TokenKnowledge};

    fn refused(body: &str, clock_ahead_s: Option<i64>) -> Finding {
        let evidence = Evidence::read(403, None, None, body.as_bytes(), None);
        let evidence = Evidence { clock_ahead_s, ..evidence };
        signature_refused(&Refused::new(Manner::Status, &evidence, TokenKnowledge::Sent))
    }

    #[test]
    fn a_signature_of_another_time_is_told_from_a_wrong_one() {
        let message = |text: &str| format!("{{\"message\":\"{text}\"}}");
        let expired = message(
            "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z (20260101T001000Z - 5 min.)",
        );
        let forbidden = message("Forbidden");
        let wrong = message(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        );
        // (body, how far the service's clock is ahead, what kind, what is said)
        let rows: [(&str, Option<i64>, Kind, &str); 9] = [
            (&expired, Some(600), Kind::SignatureRefused, "is 10m ahead of this machine's"),
            (&expired, Some(-600), Kind::SignatureRefused, "is 10m behind this machine's"),
            (&expired, Some(2), Kind::SignatureRefused, "one of another time (403 Signature expired)"),
            (&forbidden, Some(600), Kind::SignatureRefused, "is 10m ahead of this machine's"),
            (&forbidden, Some(2), Kind::CannotTell, "does not say why"),
            (&wrong, Some(600), Kind::SignatureRefused, "does not take the signature"),
            ("{\"code\":\"signature.early\"}", Some(-400), Kind::SignatureRefused, "behind"),
            (
                &message("Missing Authentication Token"),
                None,
                Kind::SignatureRefused,
                "403 Missing Authentication Token",
            ),
            ("", None, Kind::CannotTell, "does not say why"),
        ];
        for (body, ahead, kind, said) in rows {
            let finding = refused(body, ahead);
            assert!(finding.kind == kind && finding.sentence.contains(said), "{body} {ahead:?}: {finding:?}");
        }
        assert!(refused(&wrong, None).change.contains("secret_access_key"));
        let scope = message("Credential should be scoped to a valid region, not 'x'.");
        assert!(refused(&scope, None).change.contains("region"));
        let policy = message("User: arn:aws:iam::1:user/x is not authorized to perform: execute-api:Invoke");
        assert!(refused(&policy, None).change.contains("policy"));
    }
}
