//! A served target tells nothing of what it is sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use super::home::Home;
use crate::support::output::text;
use crate::support::served::Served;
use crate::support::signals::send;

#[test]
fn a_target_tells_nothing_of_what_it_is_sent() {
    let mut home = Home::new();
    let secret = home.text("target-secret");
    let profile = home.give(
        "mine.toml",
        &format!("[target]\n[[target.clients]]\nid = \"me\"\nsecret = \"{secret}\"\nscopes = [\"analytics:events:read\"]\n[[target.users]]\nname = \"u\"\npassword = \"{secret}\"\n[target.trusted]\nalgorithm = \"HS256\"\nkey = \"{secret}\"\n").replace("[target]\n", "[target]\ngrants = [\"client_credentials\", \"refresh_token\", \"password\", \"jwt_bearer\"]\ntoken_request = \"either\"\n"),
    );
    let mut served = Served::start(home.command(), &[profile.to_str().unwrap()], Stdio::piped());
    let address = served.addr;
    let ask = |request: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Whether it is cut off or ends does not matter.
        let _ = stream.read_to_end(&mut answer);
        text(&answer)
    };
    let post = |body: &str, header: &str| {
        ask(format!(
            "POST /oauth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n{header}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let granted = post(&format!("grant_type=client_credentials&client_id=me&client_secret={form}"), "");
    assert!(granted.contains("access_token"), "{granted}");
    let wrong = home.text("plain-secret");
    for (body, header) in [
        (format!("grant_type=client_credentials&client_id=me&client_secret={wrong}"), String::new()),
        (format!("grant_type={wrong}&client_id={wrong}&client_secret={wrong}"), String::new()),
        (String::new(), format!("Authorization: Basic {wrong}\r\n")),
        (format!("grant_type=refresh_token&refresh_token={wrong}"), String::new()),
        (
            format!("grant_type=password&client_id=me&client_secret={form}&username=u&password={wrong}"),
            String::new(),
        ),
        (
            format!("grant_type=password&username={wrong}&assertion={wrong}&subject_token={wrong}"),
            String::new(),
        ),
    ] {
        let refused = post(&body, &header);
        assert!(home.canaries.found_in(refused.as_bytes()).is_empty(), "{refused}");
    }
    let upgrade = |more: &str| {
        ask(format!(
            "GET /api/v2/analytics/events?access_token={wrong} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        ))
    };
    for more in [
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Sec-WebSocket-Protocol: bearer.{wrong}\r\n"),
        format!("{wrong}\r\n"),
    ] {
        let refused = upgrade(&more);
        assert!(home.canaries.found_in(refused.as_bytes()).is_empty(), "{refused}");
    }
    ask(format!("{wrong} {wrong}\r\n\r\n"));
    ask(format!(
        "POST /_resurge/close HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{{\"{wrong}\":1}}",
        wrong.len() + 6
    ));
    send(served.process.id(), "INT");
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    served.process.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    served.process.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let output = Output { status: served.process.wait().unwrap(), stdout, stderr };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    home.said.push(("serve".to_owned(), output));
    home.assert_tight();
}
