//! What is read of scripts, and what is not.

use super::*;

fn constant(text: &str) -> Value {
    Script::read(text).constant("x").unwrap().clone()
}

#[test]
fn literals_are_read_and_what_is_computed_is_not() {
    assert_eq!(constant("const x = 'a\\'b\\u0041'").text().unwrap(), "a'bA");
    assert_eq!(constant("let x = 60 * 1000;"), Value::Number(60_000.0));
    assert_eq!(
        constant("var x = [1, 'two', true,]"),
        Value::List(vec![Value::Number(1.0), Value::plain("two"), Value::Truth(true)])
    );
    let table = constant("const x = { 'a-b': 1, c: { d: `e` }, };");
    assert_eq!(table.get("a-b"), Some(&Value::Number(1.0)));
    assert_eq!(table.get("c").unwrap().get("d").unwrap().text().unwrap(), "e");
    assert_eq!(constant("const x = Math.random() * 5;"), Value::Unread("Math.random() * 5".to_owned()));
    assert_eq!(
        constant("const x = f('a,b', { c: 1 })\nconst y = 2"),
        Value::Unread("f('a,b', { c: 1 })".to_owned())
    );
}

#[test]
fn texts_are_put_together_from_constants_and_the_environment() {
    let script = "const host = 'h:1' // 'no'\nconst x = `ws://${host}/${__ENV.PATH_NAME}?` + 'q=' + id()";
    let parts = [
        Part::Plain("ws://h:1/".to_owned()),
        Part::Env("PATH_NAME".to_owned()),
        Part::Plain("?q=".to_owned()),
        Part::Unread("id()".to_owned()),
    ];
    assert_eq!(constant(script), Value::Text(parts.to_vec()));
    assert_eq!(constant("const x = __ENV.URL || 'ws://a'").text().unwrap(), "ws://a");
    assert_eq!(constant("const x = process.env['URL'];"), Value::Text(vec![Part::Env("URL".to_owned())]));
    let json = constant("const x = JSON.stringify({ op: 'sub', n: 1, t: token })");
    let parts = [
        Part::Plain("{\"op\":\"sub\",\"n\":1,\"t\":".to_owned()),
        Part::Unread("token".to_owned()),
        Part::Plain("}".to_owned()),
    ];
    assert_eq!(json, Value::Text(parts.to_vec()));
}

#[test]
fn calls_are_found_with_their_arguments_and_comments_are_not() {
    let script = Script::read(
        "/* ws.connect('no') */ ws.connect('a', { tags: 1 }, function (s) { s.send('b') }); news.connect('no')",
    );
    let calls = script.calls("ws.connect");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].arguments[0].text().unwrap(), "a");
    assert_eq!(script.calls(".send")[0].arguments[0].text().unwrap(), "b");
    assert_eq!(
        Script::read("const u = 'http://x' // y\nws.connect(u)").calls("ws.connect")[0].arguments[0]
            .text()
            .unwrap(),
        "http://x"
    );
}

#[test]
fn nothing_hangs_or_panics() {
    let deep = format!("const x = {}", "[".repeat(100_000));
    for text in [
        "const x = ",
        "const x = {",
        "const x = `${",
        "f(",
        "const x = '\\",
        "const x = {,}",
        "const x = \u{1F600};",
        &deep,
        "const x = - ;",
        "__ENV",
        "const x = __ENV.",
    ] {
        let script = Script::read(text);
        script.calls("f");
    }
}
