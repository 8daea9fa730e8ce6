//! Which causes are read in which answers.

use super::*;

#[test]
fn causes_follow_the_evidence() {
    let json = |code: &str| format!("{{\"status\":403,\"code\":\"{code}\"}}");
    // (WWW-Authenticate, content type, body, token, cause)
    type Row = (Option<&'static str>, Option<&'static str>, String, TokenKnowledge, Cause);
    let rows: &[Row] = &[
        (None, None, String::new(), TokenKnowledge::Sent, Cause::Unknown),
        (None, None, String::new(), TokenKnowledge::NotSent, Cause::NoToken),
        (None, None, json("bad.credentials"), TokenKnowledge::Sent, Cause::Unknown),
        (None, None, json("bad.credentials"), TokenKnowledge::Expired, Cause::ExpiredToken),
        (None, None, json("forbidden"), TokenKnowledge::Sent, Cause::Unknown),
        (None, None, json("origin.forbidden"), TokenKnowledge::Expired, Cause::Origin),
        (
            None,
            Some("text/plain; charset=utf-8"),
            "Failed to open a WebSocket connection: invalid Origin header: https://evil.example.\n".into(),
            TokenKnowledge::NotSent,
            Cause::Origin,
        ),
        (None, Some("text/plain"), "the original is forbidden".into(), TokenKnowledge::Sent, Cause::Unknown),
        (None, None, json("plan.exceeded"), TokenKnowledge::Sent, Cause::ForbiddenOther),
        (None, None, String::new(), TokenKnowledge::Expired, Cause::ExpiredToken),
        (None, None, json("token.stale"), TokenKnowledge::Sent, Cause::StaleToken),
        (None, None, json("credentials.expired"), TokenKnowledge::Sent, Cause::ExpiredToken),
        (None, None, json("missing.permissions"), TokenKnowledge::Expired, Cause::MissingScope),
        (None, None, json("not.your.day"), TokenKnowledge::Sent, Cause::ForbiddenOther),
        (None, None, "{\"error\":\"insufficient_scope\"}".into(), TokenKnowledge::Sent, Cause::MissingScope),
        (
            Some("Bearer error=\"insufficient_scope\""),
            None,
            String::new(),
            TokenKnowledge::Sent,
            Cause::MissingScope,
        ),
        (
            Some("Bearer realm=\"x\", error=invalid_token"),
            None,
            String::new(),
            TokenKnowledge::Sent,
            Cause::Unknown,
        ),
        (
            Some("Bearer error=\"invalid_token\", error_description=\"The token expired\""),
            None,
            String::new(),
            TokenKnowledge::Sent,
            Cause::ExpiredToken,
        ),
        (
            Some("Bearer error=\"invalid_token\", error_description=\"Token was revoked\""),
            None,
            String::new(),
            TokenKnowledge::Sent,
            Cause::StaleToken,
        ),
        (None, Some("text/html; charset=utf-8"), "<h1>403</h1>".into(), TokenKnowledge::Sent, Cause::Unknown),
        (None, None, "  <!doctype html>".into(), TokenKnowledge::Sent, Cause::Unknown),
        (
            None,
            None,
            "<html><body><center><h1>403 Forbidden</h1></center><hr><center>nginx/1.22.1</center>".into(),
            TokenKnowledge::Sent,
            Cause::Unknown,
        ),
        (
            None,
            None,
            "<html><body><center><h1>403 Forbidden</h1></center><hr><center>nginx/1.22.1</center>".into(),
            TokenKnowledge::Expired,
            Cause::ExpiredToken,
        ),
        (None, None, "{not json".into(), TokenKnowledge::Sent, Cause::Unknown),
    ];
    for (challenge, kind, body, token, cause) in rows {
        let evidence = Evidence::read(403, *challenge, *kind, body.as_bytes(), None);
        assert_eq!(attribute(&evidence, *token).cause, *cause, "{challenge:?} {body:?} {token:?}");
    }
}

#[test]
fn who_answered_is_another_question_than_why() {
    let nginx = "<html><center><h1>403</h1></center><hr><center>nginx/1.22.1</center>";
    // (kind, body, by)
    let rows = [
        (None, nginx, AnsweredBy::Edge),
        (Some("text/html"), "<h1>Invalid credentials</h1>", AnsweredBy::Unknown),
        (None, "{\"code\":\"token.stale\"}", AnsweredBy::Service),
        (None, "", AnsweredBy::Unknown),
    ];
    for (kind, body, by) in rows {
        assert_eq!(Evidence::read(403, None, kind, body.as_bytes(), None).by(), by, "{body}");
    }
    assert_eq!(Evidence::of_close(4401, None).by(), AnsweredBy::Service);
}

#[test]
fn refusals_on_a_session_are_attributed_by_code_words_and_what_is_known() {
    use TokenKnowledge::{Expired, NotSent, Sent};
    // (code, reason, token, cause, ground)
    let rows = [
        (1013, "try later", NotSent, Cause::Overloaded, Ground::Said),
        (4429, "", Sent, Cause::RateLimited, Ground::Said),
        (4401, "", Expired, Cause::ExpiredToken, Ground::Known),
        (4401, "token expired", Sent, Cause::ExpiredToken, Ground::Said),
        (4401, "JWT revoked", Sent, Cause::StaleToken, Ground::Said),
        (4403, "Forbidden", Sent, Cause::Unknown, Ground::Unknown),
        (1008, "your plan has expired", Sent, Cause::Unknown, Ground::Unknown),
        (1008, "policy", NotSent, Cause::NoToken, Ground::Known),
    ];
    for (code, reason, token, cause, ground) in rows {
        let found = attribute(&Evidence::of_close(code, Some(reason)), token);
        assert_eq!(found, Attributed { cause, ground }, "{code} {reason} {token:?}");
    }
}

#[test]
fn words_are_kept_where_they_are_few_and_plain() {
    let kept = ["Invalid token", "token.expired", "not allowed, try 3 times", "access_denied", "E4711"];
    let dropped =
        ["", "eyJhbGciOiJIUzI1NiJ9", "user 81724312", "no\nway", "é", "session 3f2a9c1b", &"x ".repeat(40)];
    assert!(kept.iter().all(|words| can_be_kept(words)));
    for words in dropped {
        assert!(!can_be_kept(words), "{words:?}");
    }
    let answer = Evidence::of_close(4401, Some("token expired")).answer(Ground::Said);
    assert_eq!(answer.said(), "4401 token expired");
}

#[test]
fn error_is_not_mistaken_for_error_description() {
    let evidence = Evidence::read(401, Some("Bearer error_description=\"error=x\""), None, b"", None);
    assert_eq!(evidence.bearer_error, None);
    assert_eq!(evidence.bearer_description.as_deref(), Some("error=x"));
}
