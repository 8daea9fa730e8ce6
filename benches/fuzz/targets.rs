//! The targets: everything that reads what strangers wrote, with inputs as they should be.
//!
//! In: nothing. Out: targets. What they read goes to the parsers that a run uses. `histograms.hlog` is only written, `run.json` is only written: nothing reads them
//! back, and `compare`, `report` and `merge` read a run's journal alone.

use std::time::Duration;

use resurge::clock::Moment;
use resurge::drive::network::{parse_host, strangers};
use resurge::jose::{Algorithm, KeySet, SigningKey, VerifyingKey, read_proof, verified_claims};
use resurge::observe::{PageReader, Selector, instant, range, refusal};
use resurge::record::{Tally, evaluate};
use resurge::scenario::keys::{Invalidation, TargetRules};
use resurge::scenario::parse_threshold;
use resurge::service::rules::{Handshake, TargetState};
use resurge::service::server::strangers as target;
use resurge::service::session::{EndHow, FrameClass, Session};
use resurge::service::token::{TokenAnswer, TokenRequest};
use resurge::units::{format_duration, parse_duration, parse_rate, parse_share};

use super::engine::{Run, Target};
use super::{files, talk, wire};

fn inputs(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.to_vec()).collect()
}

const JSON_WORDS: &[&[u8]] = &[
    b"\"access_token\":\"",
    b"\"expires_in\":",
    b"1e400",
    b"-1",
    b"\"error\":\"invalid_grant\"",
    b"null",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"\\ud800\"",
    b"\\u0000",
    b"~0~1",
    b"/0",
    b"{a}",
    b"{token}",
    b"\0",
    b"18446744073709551616",
    b"{\"topicName\":\"v2.analytics.events\",\"seq\":",
    b",\"due_us\":",
    b"\"d\":{\"heartbeat_interval\":",
    b"ws://",
    b"[::1]",
    b"@",
    b"#",
    b"\xed\xa0\x80",
];
/// Packets of MQTT, as its specifications have them: the version, where to cut, bytes.
const PACKETS: &[&[u8]] = &[
    b"\0\x03\x20\x02\0\0\x90\x05\0\x0a\0\x02\x80\x32\x09\0\x03a/b\0\x0ahi\x40\x02\0\x07\xd0\0",
    b"\x01\x05\x20\x09\0\0\x06\x13\0\x0a\x21\0\x14\x30\x08\0\x03a/b\0hi\x40\x04\0\x07\x87\0\xe0\x01\x8e",
    b"\x01\x02\x32\x0e\0\x03a/b\0\x0a\x04\x03\0\x01xhi\x90\x05\0\x0a\0\x01\x87\xe0\x07\x8b\x05\x1f\0\x02no",
    b"\0\x01\x20\x02\0\x05",
    b"\x01\x01\x20\x03\0\x86\0",
];
const PACKET_WORDS: &[&[u8]] = &[
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x01",
    b"\x20\x02\0\0",
    b"\x30\x05\0\x03a/b",
    b"\x26\0\x01a\0\x01b",
    b"\x1f\0\x01x",
    b"\x23\0\x01",
    b"\xd0\0",
    b"\xf0\x02\x18\0",
];
/// One in the query, as AWS's test suite has it (get-vanilla), and one in headers.
const SIGNATURES: &[&[u8]] = &[
    b"GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d HTTP/1.1\r\nHost: example.amazonaws.com\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: example.amazonaws.com\r\nX-Amz-Date: 20150830T123600Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\r\n\r\n",
];
const SIGNATURE_WORDS: &[&[u8]] = &[
    b"X-Amz-Date=",
    b"&X-Amz-Expires=604801",
    b"&X-Amz-Security-Token=",
    b"X-Amz-SignedHeaders=host%3Bdate",
    b"Signature=",
    b"20150830T123600Z",
    b"99999999T999999Z",
    b"%2F",
    b"%",
    b"/aws4_request",
    b";",
    b"\xc3\xa9",
];
const COOKIES: &[&[u8]] = &[
    b"sessionid=38afes7a8; Path=/; HttpOnly; Secure; SameSite=Lax; Expires=Wed, 21-Oct-2026 07:28:00 GMT",
    b"_xsrf=2|abc|def; Domain=.a.example; Max-Age=3600\nid=; Max-Age=0\n__Host-x=1; Secure; Path=/",
];
const COOKIE_WORDS: &[&[u8]] = &[
    b"; Domain=a.example",
    b"; Domain=example",
    b"; Domain=.",
    b"; Domain=b.example",
    b"; Path=/login",
    b"; Path=",
    b"; Max-Age=-1",
    b"; Max-Age=99999999999999999999",
    b"; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    b"; Expires=99 99 9999 99:99:99",
    b"; Secure",
    b"__Secure-",
    b"=",
    b";",
    b"\n",
    b"\0",
    b"\xc3\xa9",
];
const NAME_WORDS: &[&[u8]] = &[
    b"\xc0\x0c",
    b"\xc0\xff",
    b"\0\x01\0\x01",
    b"\0\x1c\0\x01",
    b"\0\x29\x10\0",
    b"\0\x2e\0\x01",
    b"\x3f",
    b"\xff\xff",
    b"\x04test\0",
];
const SMALL_WORDS: &[&[u8]] = &[
    b"p(99.9)",
    b" < ",
    b"1s",
    b"{group:",
    b"}",
    b"rate",
    b"count",
    b"max",
    b"==",
    b"1e308",
    b"h",
    b"us",
    b"\xc2\xb5s",
    b"/min",
    b"%",
    b".",
    b"GMT",
    b"HTTP/1.1 200 ",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"xn--",
    b"0x",
    b"[::",
    b"%31",
];

/// Compressed messages, those of RFC 7692 §7.2.3 among them, behind what was agreed on.
const DEFLATED: &[&[u8]] = &[
    b"permessage-deflate\0\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\xc1\x05\xf2\0\x11\0\0",
    b"permessage-deflate; server_max_window_bits=10; client_max_window_bits=9\0\x41\x03\xf2\x48\xcd\x89\0\x80\x04\xc9\xc9\x07\0",
    b"permessage-deflate; server_no_context_takeover\0\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\0\0\x88\x02\x03\xe8",
    b"\0\xc2\x0b\0\x05\0\xfa\xff\x48\x65\x6c\x6c\x6f\0\x81\x02{}",
];
const DEFLATE_WORDS: &[&[u8]] = &[
    b"permessage-deflate",
    b"; server_max_window_bits=",
    b"; client_max_window_bits",
    b"; client_no_context_takeover",
    b"=\"15\"",
    b", ",
    b"\0",
    b"\xc1\x7e\xff\xff",
    b"\x00\x00\xff\xff",
    b"\xc2\x02\x03\0",
    b"\xec\xc1\x01\x01\0\0\0\x80",
];

/// Every target.
pub(crate) fn targets() -> Vec<Target> {
    let token = b"\x64\0{\"access_token\":\"t\",\"expires_in\":60,\"refresh_token\":\"r\"}";
    let frames: &[u8] = b"\x81\x02{}\x81\x46{\"topicName\":\"v2.analytics.events\",\"seq\":7,\"due_us\":9,\"d\":{\"url\":\"x\"}}\x89\x00\x01\x01a\x80\x01b\x88\x02\x03\xe9";
    let steps: &[&[u8]] = &[
        b"/d/url\0{a}?x={token}\0{\"d\":{\"url\":\"ws://a/\"}}",
        b"/a~1b/0\0ws://h/{a}{b\0{\"a/b\":[1.5e3]}",
    ];
    let forms: &[&[u8]] = &[
        b"Basic YTpi\0grant_type=client_credentials&scope=a+b",
        b"grant_type=refresh_token&refresh_token=r&client_id=a&client_secret=%26",
    ];
    let bodies: &[&[u8]] =
        &[b"\0{\"code\":1001,\"fraction\":1.0}", b"/t\0{\"t\":[{\"id\":\"a\"},\"b\"]}", b"\0[\"a\"]"];
    let small: &[&[u8]] = &[b"HTTP/1.1 200 Established\r\n\r\n", b"7", b"Sun, 06 Nov 1994 08:49:37 GMT"];
    // The name, its alias, and two addresses of that; then one that did not fit.
    let names: &[&[u8]] = &[
        b"\0\x07\x81\x80\0\x01\0\x03\0\0\0\0\x07service\x04test\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x14\xc0\x2a\0\x01\0\x01\0\0\0\x05\0\x04\x7f\0\0\x02\xc0\x2a\0\x01\0\x01\0\0\0\x05\0\x04\x7f\0\0\x03",
        b"\0\x07\x83\x80\0\x01\0\0\0\0\0\0\x07service\x04test\0\0\x1c\0\x01",
    ];
    let units: &[&[u8]] = &[b"1h30m", b"5/s", b"50%", b"0.5", b"1.5ms", b"api.example.com", b"[2001:db8::1]"];
    let thresholds: &[&[u8]] = &[
        b"reconnect_latency{group:a}: p(99) < 1s",
        b"handshake_403_rate: rate < 0.1%",
        b"disconnects: count >= 5",
        b"refetch_turns: rate > 100/s",
    ];
    let orders: &[&[u8]] =
        &[b"\0a\n\x02\x01\x05\x04{}\n\x03\x80\x01\x02\x05", b"\x01bad\n\0client\n\x01\x01\x06\x02"];
    let of = |name, share, corpus, words: &[&'static [u8]], prepare| Target {
        name,
        share,
        corpus,
        words: words.to_vec(),
        prepare,
    };
    vec![
        of("upgrade_answer", 20, wire::answers(), wire::ANSWER_WORDS, || {
            Box::new(strangers::upgrade_answer) as Run
        }),
        of("http_answer", 6, wire::answers(), wire::ANSWER_WORDS, http_answer),
        of("frames", 20, inputs(&[frames]), wire::ANSWER_WORDS, || Box::new(strangers::frames)),
        of("packets", 16, inputs(PACKETS), PACKET_WORDS, || Box::new(strangers::packets)),
        of("matcher", 4, inputs(talk::TALKS), talk::TALK_WORDS, talk::matcher),
        of("template", 16, inputs(talk::TEMPLATES), talk::TEMPLATE_WORDS, || Box::new(talk::template)),
        of("deflated", 16, inputs(DEFLATED), DEFLATE_WORDS, || Box::new(strangers::deflated)),
        of(
            "token_answer",
            20,
            inputs(&[token, b"\xc8\0{\"error\":\"invalid_grant\"}", b"\0\0abc\n"]),
            JSON_WORDS,
            || Box::new(strangers::token_answer),
        ),
        of("steps", 16, inputs(steps), JSON_WORDS, || Box::new(strangers::steps)),
        of("cookies", 10, inputs(COOKIES), COOKIE_WORDS, || Box::new(strangers::cookies)),
        of("observed", 16, inputs(OBSERVED), OBSERVED_WORDS, || Box::new(observed)),
        of("name_answer", 10, inputs(names), NAME_WORDS, || Box::new(strangers::name_answer)),
        of("small_answers", 10, inputs(small), SMALL_WORDS, || Box::new(strangers::small_answers)),
        of("token_form", 16, inputs(forms), wire::REQUEST_WORDS, || Box::new(target::token_form)),
        of("signed_token", 16, inputs(SIGNED), SIGNED_WORDS, || Box::new(signed_token)),
        of("signature", 16, inputs(SIGNATURES), SIGNATURE_WORDS, || Box::new(target::signature)),
        of("upgrade_request", 16, wire::requests(), wire::REQUEST_WORDS, || {
            Box::new(target::upgrade_request)
        }),
        of("json_bodies", 16, inputs(bodies), JSON_WORDS, || Box::new(target::json_bodies)),
        of(
            "target_rules",
            8,
            inputs(orders),
            &[b"\n", b"\0", b"\x01", b"\x02", b"\x05\xff\xff\xff\xff"],
            target_rules,
        ),
        of("units", 16, inputs(units), SMALL_WORDS, || Box::new(units_of)),
        of("threshold", 12, inputs(thresholds), SMALL_WORDS, threshold),
        of("scenario", 2, files::scenarios(), files::SCENARIO_WORDS, files::scenario),
        of("profile", 2, profiles(), files::SCENARIO_WORDS, files::profile),
        of(
            "overrides",
            1,
            inputs(&[b"groups.0.clients\x00200", b"target.faults.0.share\x000.5\nseed\x007"]),
            files::SCENARIO_WORDS,
            files::overrides,
        ),
        of(
            "feeder",
            3,
            inputs(&[b"client_id,client_secret\na,b\nc,\"d,e\"\n"]),
            &[b",", b"\"", b"\n", b"client_id", b"client_secret", b"\xff"],
            files::feeder,
        ),
        of("journal", 4, files::journals(), &[b"RSRGJRNL"], files::journal),
        of(
            "made_journal",
            3,
            files::journals(),
            &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x80 "],
            files::made_journal,
        ),
        of("baseline", 4, files::baselines(), &[b"RSRGBASE"], files::baseline),
        of(
            "made_baseline",
            3,
            files::baseline_contents(),
            &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x80 "],
            files::made_baseline,
        ),
        of("target_socket", 1, wire::requests(), wire::REQUEST_WORDS, wire::target_socket),
        of("client_socket", 1, wire::answers(), wire::ANSWER_WORDS, wire::client_socket),
    ]
}

/// The proof of RFC 9449 §4.1.
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// A JWT that the key of `signed_token` signed; a key in PEM, whose content is none; a proof; a set of keys.
const SIGNED: &[&[u8]] = &[
    b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjIiwiZXhwIjoxfQ.c2lnbmVk",
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAAA\n-----END EC PRIVATE KEY-----\n",
    b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAA\n-----END PUBLIC KEY-----\n",
    PROOF.as_bytes(),
    b"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"alg\":\"RS256\"}]}",
];
const SIGNED_WORDS: &[&[u8]] = &[
    b".",
    b"==",
    b"-----BEGIN ",
    b"RSA PRIVATE KEY-----\n",
    b"PUBLIC KEY-----\n",
    b"eyJhbGciOiJIUzI1NiJ9",
    b"MIIB",
];

/// Reads a JWT by a key, and what was read as a key of each algorithm: nothing of it verifies. Reads it as a proof, which only its own key signs, and as a set of keys.
fn signed_token(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let key = VerifyingKey::read(Algorithm::Hs256, "a key").ok();
    let is_ours = key.is_some_and(|key| verified_claims(&text, &key).is_some());
    assert!(!is_ours, "a signature was guessed");
    let keys = Algorithm::ALL.iter().enumerate().map(|(at, algorithm)| {
        let both =
            (SigningKey::read(*algorithm, &text).is_ok(), VerifyingKey::read(*algorithm, &text).is_ok());
        (u64::from(both.0) + 2 * u64::from(both.1)) << (2 * at)
    });
    let proof = read_proof(&text).map_or_else(|fault| fault as u64, |_| 7);
    let set = KeySet::read(&text).map(|set| {
        assert!(set.claims(PROOF).is_err(), "a key was guessed");
        1
    });
    keys.sum::<u64>() ^ proof << 40 ^ set.unwrap_or_else(|fault| 2 + fault as u64) << 48
}

const OBSERVED: &[&[u8]] = &[
    b"# TYPE m gauge\nm{a=\"1\",b=\"x\\\"y\\\\\\n\"} 1.5 1395066363000\nm 2 # {t=\"1\"} 0.5\n{\"m\",\"b\"=\"\"} NaN\nother 3\n# EOF",
    b"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"a\":\"b\"},\"value\":[1.5,\"7\"]}]}}",
    b"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[100,\"1\"],[101,\"NaN\"]]}]}}",
    b"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}",
];
const OBSERVED_WORDS: &[&[u8]] = &[
    b"m{",
    b"\",",
    b"\\\"",
    b"} ",
    b"\n",
    b"+Inf",
    b"1e999",
    b"\"value\":[",
    b"\"histogram\":[",
    b"\"scalar\"",
    b"[-1e308,\"1\"]",
    b"\xff",
];

/// Reads a page of metrics, and the same as answers of a Prometheus server.
fn observed(bytes: &[u8]) -> u64 {
    let wanted = |labels: &[(&str, &str)]| Selector {
        metric: "m".to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let selectors = [wanted(&[]), wanted(&[("a", "1")]), wanted(&[("b", "")])];
    let read = |piece: usize| {
        let mut reader = PageReader::new(&selectors);
        bytes.chunks(piece).for_each(|piece| reader.take(piece));
        reader.finish()
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(whole, read(3), "it is read the same in pieces");
    let mut kind = match &whole {
        Ok(found) => {
            assert!(found.iter().flatten().all(|(_, value)| value.is_finite()));
            let lines = found.iter().map(|found| found.len().min(3) as u64);
            lines.fold(1, |sum, lines| sum * 4 + lines)
        }
        Err(why) => why.chars().filter(|c| !c.is_ascii_digit()).count() as u64,
    };
    if let Ok(Some(value)) = instant(bytes) {
        assert!(value.is_finite());
        kind += 1_000;
    }
    if let Ok(values) = range(bytes, 100.0, 1.0) {
        assert!(values.windows(2).all(|pair| pair[0].0 < pair[1].0), "a step has one value");
        kind += 2_000 + values.len().min(5) as u64;
    }
    kind + refusal(bytes).map_or(0, |words| 10_000 + words.chars().count() as u64)
}

fn profiles() -> Vec<Vec<u8>> {
    let names = resurge::scenario::profile_names();
    names
        .iter()
        .filter_map(|name| resurge::scenario::profile_text(name))
        .map(|text| text.as_bytes().to_vec())
        .collect()
}

fn http_answer() -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Box::new(move |bytes| runtime.block_on(strangers::http_answer(bytes)))
}

fn units_of(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let duration = parse_duration(&text).ok();
    if let Some(duration) = duration {
        assert!(!format_duration(duration).is_empty());
    }
    if let Ok(rate) = parse_rate(&text) {
        assert!(rate > 0.0 && rate.is_finite());
    }
    if let Ok(share) = parse_share(&text) {
        assert!((0.0..=1.0).contains(&share));
    }
    if let Ok(host) = parse_host(&text) {
        assert_eq!(parse_host(&host).as_ref(), Ok(&host), "a host has one form");
    }
    u64::from(duration.is_some())
        + 2 * u64::from(parse_rate(&text).is_ok())
        + 4 * u64::from(parse_share(&text).is_ok())
        + 8 * u64::from(parse_host(&text).is_ok())
}

fn threshold() -> Run {
    let tally = Tally::default();
    Box::new(move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match parse_threshold(&text) {
            Ok(threshold) => {
                assert_eq!(
                    parse_threshold(&threshold.source).as_ref(),
                    Ok(&threshold),
                    "it is read as it is written"
                );
                let _ = evaluate(&threshold, &[&tally], 1.0);
                1_000 + text.split(['{', ':']).next().unwrap_or_default().len() as u64
            }
            Err(why) => why.to_string().len() as u64,
        }
    })
}

/// Orders to a target's rules, in the order of the bytes; its accounts close after each.
fn target_rules() -> Run {
    Box::new(|bytes| {
        let rules = TargetRules { invalidation: Invalidation::OnDisconnect, ..TargetRules::default() };
        let mut state = TargetState::new(rules, 1);
        let (mut now, mut tokens, mut sessions) = (Moment::ZERO, Vec::<String>::new(), Vec::<Session>::new());
        let mut rest = bytes;
        for _ in 0..200 {
            let Some((order, behind)) = rest.split_first() else { break };
            let line = behind.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let text = String::from_utf8_lossy(line).into_owned();
            rest = behind.get(line.len().min(8) + usize::from(order % 8 < 2)..).unwrap_or_default();
            match order % 8 {
                0 => {
                    let request = TokenRequest {
                        grant_type: Some("client_credentials"),
                        client_id: Some(&text),
                        client_secret: Some("s"),
                        scope: None,
                        ..TokenRequest::default()
                    };
                    if let TokenAnswer::Issued(issued) = state.token_request(now, request) {
                        tokens.push(issued.access_token.text());
                    }
                }
                1 => {
                    let token = tokens.get(line.len()).cloned().unwrap_or(text);
                    if let Handshake::Admitted { session, .. } =
                        state.handshake(now, Some(&token), Some(line.len() as u64))
                    {
                        sessions.push(session);
                    }
                }
                2 => {
                    if let Some(session) = sessions.pop() {
                        state.end_session(
                            now,
                            session.id(),
                            session.end(EndHow::CloseFrame(line.len() as u16)),
                        );
                    }
                }
                3 => drop(state.storm(
                    now,
                    u16::from_le_bytes([*order, line.first().copied().unwrap_or(0)]),
                    f64::from(*order) / 200.0,
                )),
                4 => {
                    if let Some(session) = sessions.last_mut() {
                        let _ = session.heard_text(now, &text);
                        session.heard(now, FrameClass::Data);
                        let _ = (session.take_due(now), session.next_wake());
                    }
                }
                5 => {
                    let word = line.iter().take(6).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                    now = now + Duration::from_micros(word);
                }
                6 => drop(state.pick(f64::from(*order) / 100.0)),
                _ => state.count_bad_request(),
            }
            let counters = state.counters();
            let closed: u64 = counters.closes.iter().map(|close| close.count).sum();
            assert_eq!(counters.upgrades, closed + counters.sessions_open, "every session is counted once");
        }
        sessions.len().min(5) as u64 + 10 * tokens.len().min(5) as u64
    })
}
