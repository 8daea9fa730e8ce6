//! How texts with variables and calls are read and rendered.

use super::*;
use proptest::prelude::*;

fn render(text: &str) -> String {
    Template::parse(text).render(|name| (name != "gone").then(|| format!("<{name}>")))
}

#[test]
fn variables_are_told_from_json() {
    for (text, rendered) in [
        ("Bearer {token}", "Bearer <token>"),
        ("{uri}", "<uri>"),
        ("{\"op\":2,\"d\":{\"token\":\"{token}\"}}", "{\"op\":2,\"d\":{\"token\":\"<token>\"}}"),
        ("{}{ a }{A}{{x}", "{}{ a }{A}{<x>"),
        ("{gone}.", "."),
        ("{unclosed", "{unclosed"),
        ("", ""),
    ] {
        assert_eq!(render(text), rendered, "{text}");
    }
    let template = Template::parse("{a}{b_2}-{c");
    assert_eq!(template.variables().collect::<Vec<_>>(), ["a", "b_2"]);
}

#[test]
fn calls_are_evaluated_as_the_exchanges_have_it() {
    let value = |name: &str| match name {
        "key" => Some("Jefe".to_owned()),
        "text" => Some("what do ya want for nothing?".to_owned()),
        // Kraken's own example of its documentation.
        "kraken" => Some(
            "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
                .to_owned(),
        ),
        "nonce" => Some("1616492376594".to_owned()),
        _ => None,
    };
    let kraken = r#"{base64(hmac_sha512(base64_decode(kraken), "/0/private/AddOrder", sha256(nonce, "nonce={nonce}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25")))}"#;
    for (text, rendered) in [
        // RFC 4231 §4.3.
        (
            "s={hex(hmac_sha256(key, text))};",
            "s=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843;",
        ),
        (
            "{hex( hmac_sha256( 'Jefe' , \"what do ya \", 'want for nothing?'))}",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (kraken, "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="),
        ("{hex('a\\'\\n')}{urlencode(\"{key}&\")}", "61270aJefe%26"),
        ("{base64url(base64_decode('//4='))}{hex(base64_decode('?'))}", "__4"),
        ("{hex(gone)}", ""),
    ] {
        let template = Template::parse(text);
        assert_eq!(template.faults(), [], "{text}");
        assert_eq!(template.render(value), rendered, "{text}");
    }
    let template = Template::parse(kraken);
    assert_eq!(template.variables().collect::<Vec<_>>(), ["kraken", "nonce", "nonce"]);
}

#[test]
fn calls_that_are_wrong_are_told_and_what_is_no_call_is_text() {
    let fault = |text: &str| Template::parse(text).faults().first().map(|fault| fault.what.clone());
    for (text, what) in [
        ("{hexx(key)}", "there is no function hexx"),
        ("{hex(sha266(key))}", "there is no function sha266"),
        ("{hex(urlencode(\"{md5(key)}\"))}", "there is no function md5"),
        ("{hex(hmac_sha256(key))}", "hmac_sha256 cannot be called with 1 arguments"),
        ("{hex()}", "hex cannot be called with 0 arguments"),
        ("{hex(a, b)}", "hex cannot be called with 2 arguments"),
        ("{sha256(key)}", "sha256 gives bytes, which no text can hold"),
        ("{hex(sha256(key)}", "the call of hex does not end as a call does"),
        ("{hex(sha256('key))}", "the call of hex does not end as a call does"),
    ] {
        assert_eq!(fault(text).as_deref(), Some(what), "{text}");
    }
    for text in ["{user(id: 1){name}}", "{a(b)c}", "{f(}", "{events(topic: \"x\")}", "{A(b)}", "{on(x=1)}"] {
        assert_eq!(
            (fault(text), render(text).replace("<name>", "{name}")),
            (None, text.to_owned()),
            "{text}"
        );
    }
    let deep = format!("{{{}key{}}}", "hex(".repeat(50), ")".repeat(50));
    assert!(fault(&deep).is_some());
}

#[test]
fn the_time_is_told_in_each_form() {
    let at = 1_607_418_537_715_123;
    assert_eq!(time_variable("unix_ms", at).as_deref(), Some("1607418537715"));
    assert_eq!(time_variable("now", at).as_deref(), Some("1607418537"));
    assert_eq!(time_variable("now_iso", at).as_deref(), Some("2020-12-08T09:08:57.715Z"));
    assert_eq!(time_variable("client", at), None);
}

proptest! {
    #[test]
    fn no_call_makes_it_panic(text in "(\\{|\\}|\\(|\\)|,|\"|'|\\\\|hex|sha256|hmac_sha256|é| |x){0,30}") {
        let template = Template::parse(&text);
        let _ = (template.variables().count(), template.render(|name| Some(name.to_owned())));
    }

    #[test]
    fn a_text_without_variables_stays_as_it_is(text in "[^{]{0,40}") {
        prop_assert_eq!(render(&text), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        render(&text);
    }
}

#[test]
fn a_variable_that_is_written_wrong_in_a_saying_is_a_fault() {
    let faults = |text: &str| {
        let faults = Template::parse_saying(text).faults;
        faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    for wrong in ["{random:100-1}", "{random:a-z}", "{random: 1-10}", "{UUID}", "{Counter}", "{ token }"] {
        assert_eq!(faults(&format!("{{\"n\":{wrong}}}")), [wrong]);
    }
    for right in ["{\"random\":\"1-2\"}", "{random:1-10}", "{uuid}", "{ a: {} }", "{Token: 1}", "{"] {
        assert_eq!(faults(right), Vec::<String>::new(), "{right}");
    }
    assert_eq!(Template::parse("{UUID}").faults, [], "it is a text elsewhere");
}
