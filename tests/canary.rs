//! Secrets stay where they were put: unique texts are planted as every kind of secret, everything is run against a service that gives back whatever it is sent,
//! and all that comes out (files, streams, metrics, panics) is searched for them, in clear, in base64, in hex, compressed.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

#[path = "canary/hostile.rs"]
mod hostile;
#[path = "canary/search.rs"]
mod search;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use resurge::drive::network::ProbeToken;
use resurge::lifecycle::Evidence;
use resurge::run::{RunRequest, run};
use resurge::scenario::keys::Target;
use resurge::scenario::{load, load_target_rules};
use search::Canaries;
use tempfile::TempDir;

/// Every secret that there can be.
const NAMES: [&str; 22] = [
    "client-secret",
    "plain-secret",
    "access-token",
    "refresh-token",
    "first-refresh",
    "fixed-token",
    "ticket",
    "header-env",
    "header-plain",
    "cookie",
    "basic-header",
    "proxy-password",
    "query-key",
    "step-header",
    "variable-key",
    "body-secret",
    "file-secret",
    "feeder-secret",
    "command-token",
    "set-secret",
    "target-secret",
    "environment-proxy",
];
/// Says to this program that it is the child that panics, and where the scenario is.
const PANIC_IN: &str = "CANARY_PANIC_IN";

/// A folder for what the programs are given, and one for what they leave.
struct Home {
    home: TempDir,
    canaries: Canaries,
    port: u16,
    /// What was said so far.
    said: Vec<(String, Output)>,
}

impl Home {
    fn new() -> Self {
        let canaries = Canaries::new(&NAMES);
        let home = tempfile::tempdir().unwrap();
        for folder in ["in", "out"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let port = hostile::start(&canaries);
        let this = Self { home, canaries, port, said: Vec::new() };
        this.give("secret.txt", &this.text("file-secret"));
        this.give("feeder.csv", &format!("client_id,client_secret\nme,{}\n", this.text("feeder-secret")));
        this
    }

    fn text(&self, name: &str) -> String {
        self.canaries.get(name).text()
    }

    fn give(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join("in").join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    /// The program, with every secret in its environment, and logs at their most talkative.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
        self.surround(&mut command);
        command
    }

    fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.out())
            .env("RESURGE_LOG", "trace")
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        let proxy =
            format!("http://me:{}@127.0.0.1:{}", self.canaries.get("environment-proxy").word(), self.port);
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
            command.env(name, &proxy);
        }
        for canary in &self.canaries.0 {
            command.env(&canary.variable, canary.text());
        }
    }

    /// Runs the program to its end.
    fn run(&mut self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().unwrap();
        self.said.push((arguments.join(" "), output.clone()));
        output
    }

    /// What has come out anywhere.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = self.canaries.found_below(&self.out());
        for (what, output) in &self.said {
            for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
                // What was typed may stand in a line that repeats it, as it does in a shell's history; not here.
                let found = self.canaries.found_in(bytes);
                let first: String = what.chars().take(60).collect();
                leaks.extend(found.into_iter().map(|found| format!("{stream} of `{first}`: {found}")));
            }
        }
        leaks
    }

    fn assert_tight(&self) {
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    }

    /// A scenario in which groups of one client meet everything that the hostile service has.
    fn scenario(&self) -> String {
        let port = self.port;
        let env = |name: &str| format!("{{ env = \"{}\" }}", self.canaries.get(name).variable);
        let mut text = format!(
            "name = \"hostile\"\nduration = \"1200ms\"\ndrain = \"500ms\"\n[target]\nurl = \"ws://127.0.0.1:{port}/upgrade/403?api_key={}\"\ntoken_url = \"http://127.0.0.1:{port}/token/ok\"\n[thresholds]\nhandshake_403_rate = [\"rate < 1%\"]\n",
            self.canaries.get("query-key").word()
        );
        let mut group = |name: &str, token: &str, connect: &str, more: &str| {
            let url = if connect.contains("url =") {
                String::new()
            } else {
                format!("url = \"ws://127.0.0.1:{port}/upgrade/403\"")
            };
            write!(
                text,
                "\n[[groups]]\nname = \"{name}\"\nclients = 1\n[groups.reconnect]\nmax_attempts = 2\nbackoff = {{ kind = \"constant\", base = \"20ms\" }}\n[groups.token]\ntimeout = \"300ms\"\n{token}\n[groups.connect]\nupgrade_timeout = \"300ms\"\ntls_timeout = \"300ms\"\n{url}\n{connect}\n{more}\n"
            )
            .unwrap();
        };
        let credentials = format!("client_id = \"me\"\nclient_secret = {}", env("client-secret"));
        let plain = format!(
            "client_id = \"me\"\nclient_secret = \"{}\"\nauth = \"basic\"",
            self.text("plain-secret")
        );
        for way in hostile::TOKEN_WAYS {
            let url = format!("url = \"http://127.0.0.1:{port}/token/{way}\"");
            group(&format!("token-{way}"), &format!("{credentials}\n{url}"), "", "");
            group(&format!("basic-{way}"), &format!("{plain}\n{url}\nconnection = \"fresh\""), "", "");
        }
        let headers = format!(
            "headers = {{ X-Api-Key = {}, X-Auth-Plain = \"{}\", Cookie = \"id={}\", X-Login-Auth = \"Basic {}\" }}",
            env("header-env"),
            self.text("header-plain"),
            self.text("cookie"),
            base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD,
                format!("me:{}", self.text("basic-header"))
            )
        );
        for way in hostile::UPGRADE_WAYS {
            let url = format!("url = \"ws://127.0.0.1:{port}/upgrade/{way}\"\n{headers}");
            group(&format!("upgrade-{way}"), &credentials, &url, "");
            group(
                &format!("query-{way}"),
                &plain,
                &format!("{url}\ntoken_in = {{ query = \"access_token\" }}"),
                "",
            );
        }
        let fixed = format!("grant = \"fixed\"\ntoken = {}", env("fixed-token"));
        for way in ["403", "word", "ok", "frames"] {
            let url = format!("url = \"ws://127.0.0.1:{port}/upgrade/{way}\"");
            group(
                &format!("sub-{way}"),
                &fixed,
                &format!("{url}\ntoken_in = {{ subprotocol = \"bearer.\" }}"),
                "",
            );
            let first = "token_in = { first_message = \"{\\\"token\\\":\\\"{token}\\\"}\" }";
            group(&format!("message-{way}"), &fixed, &format!("{url}\n{first}"), "");
            let refresh =
                format!("grant = \"refresh_token\"\n{credentials}\nrefresh_token = {}", env("first-refresh"));
            group(&format!("refresh-{way}"), &refresh, &url, "");
            let file = "client_id = \"me\"\nclient_secret = { file = \"secret.txt\" }\nsharing = \"group\"";
            group(&format!("file-{way}"), file, &url, "");
            group(&format!("feeder-{way}"), "feeder = \"feeder.csv\"", &url, "");
            let command = format!(
                "grant = \"command\"\ncommand = [\"sh\", \"-c\", \"printf %s \\\"${}\\\"; echo $CNRY_COMMAND_TOKEN >&2\"]",
                self.canaries.get("command-token").variable
            );
            group(&format!("command-{way}"), &command, &url, "");
            let proxy = format!(
                "{url}\nproxy = \"http://me:{}@127.0.0.1:{port}\"",
                self.canaries.get("proxy-password").word()
            );
            group(&format!("proxy-{way}"), &credentials, &proxy, "");
        }
        group("tls", &format!("{credentials}\nurl = \"https://127.0.0.1:{port}/token/ok\""), "", "");
        group(
            "wss",
            &credentials,
            &format!(
                "url = \"wss://127.0.0.1:{port}/upgrade/ok?token={}\"",
                self.canaries.get("query-key").word()
            ),
            "",
        );
        let prepare = |way: &str| {
            format!(
                "[groups.prepare]\nvariables = {{ my_key = \"{}\" }}\n[[groups.prepare.steps]]\nmethod = \"POST\"\nurl = \"http://127.0.0.1:{port}/step/{way}?key={}\"\nheaders = {{ Authorization = \"Bearer {{token}}\", X-Key = \"{{my_key}}\", X-Other-Key = \"{}\" }}\nbody = '{{\"secret\":\"{}\"}}'\nsave = {{ uri = \"/uri\", ticket = \"/id\" }}\ntimeout = \"300ms\"\n",
                self.text("variable-key"),
                self.canaries.get("query-key").word(),
                self.text("step-header"),
                self.text("body-secret"),
            )
        };
        for way in hostile::STEP_WAYS.iter().chain(&["ok"]) {
            group(
                &format!("step-{way}"),
                &credentials,
                "url = \"{uri}\"\ntoken_in = \"nowhere\"",
                &prepare(way),
            );
        }
        let reacting = "[[groups.session.on_message]]\ncontains = \"HTTP\"\nsave = { x = \"/none\" }\nreply = \"{token}\"";
        group("reacting", &credentials, &format!("url = \"ws://127.0.0.1:{port}/upgrade/ok\""), reacting);
        text
    }
}

#[test]
fn a_planted_canary_is_found_in_every_form() {
    let home = Home::new();
    let word = home.canaries.get("ticket").text();
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let packed = {
        let mut packer = flate2::write::DeflateEncoder::new(b"HEAD".to_vec(), flate2::Compression::best());
        packer.write_all(format!("{} and {word}", "x".repeat(99)).as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let forms: Vec<Vec<u8>> = vec![
        word.clone().into_bytes(),
        url::form_urlencoded::byte_serialize(word.as_bytes()).collect::<String>().into_bytes(),
        serde_json::to_vec(&word).unwrap(),
        encode(&word).into_bytes(),
        encode(&format!("x{word}")).into_bytes(),
        encode(&format!("xy{word}z")).into_bytes(),
        word.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        format!("{:?}", word.as_bytes()).into_bytes(),
        packed,
    ];
    for (number, form) in forms.iter().enumerate() {
        let folder = home.out().join(format!("{number}/deep"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("file"),
            [b"before ".as_slice(), form].concat().split_off(if number == 8 { 7 } else { 0 }),
        )
        .unwrap();
        let found = home.leaks();
        assert_eq!(
            found.iter().filter(|leak| leak.starts_with(&format!("{number}/"))).count().min(1),
            1,
            "{number}: {found:?}"
        );
    }
    std::fs::write(home.out().join(format!("{}.txt", home.canaries.get("cookie").word())), "").unwrap();
    assert!(home.leaks().iter().any(|leak| leak.contains("cookie as text")), "names of files count");
}

/// Scrapes the metrics of a running child until it is gone; answers with all that was scraped.
fn scrape(address: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..200 {
        let Ok(mut stream) = TcpStream::connect(address) else { break };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Whoever is gone meanwhile answers nothing more.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_end(&mut all);
        std::thread::sleep(Duration::from_millis(100));
    }
    all
}

#[test]
fn nothing_of_a_run_tells_a_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let scenario = scenario.to_str().unwrap().to_owned();
    let exports: Vec<String> = ["text", "markdown", "json", "csv", "junit", "hlog", "html", "benchmark"]
        .iter()
        .flat_map(|format| ["--export".to_owned(), format!("{format}=export.{format}")])
        .collect();
    let mut child = home
        .command()
        .args(["run", &scenario, "--out", "run", "--metrics", "0", "--progress", "plain"])
        .args(&exports)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", "summary.md")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    let address = first.trim().trim_start_matches("metrics: http://").trim_end_matches("/metrics").to_owned();
    let scraping = std::thread::spawn(move || scrape(&address));
    let mut said = first.into_bytes();
    stderr.read_to_end(&mut said).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stderr = said;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // The thresholds fail; on a busy machine the run is not valid either.
    assert!(matches!(output.status.code(), Some(99 | 110)), "{said}");
    assert!(said.contains("DEBUG resurge"), "the logs were at their most talkative: {said}");
    home.said.push(("run".to_owned(), output));
    let scraped = scraping.join().unwrap();
    assert!(String::from_utf8_lossy(&scraped).contains("resurge_attempts_total"));
    std::fs::write(home.out().join("scraped.txt"), scraped).unwrap();

    let copy = std::fs::read_to_string(home.out().join("run/scenario.toml")).unwrap();
    assert!(copy.contains("RESURGE_TARGET_URL") && copy.contains("RESURGE_STEP_OK_STEP_0_BODY"), "{copy}");
    for format in ["text", "markdown", "json", "csv", "junit", "hlog", "html", "benchmark"] {
        assert!(home.out().join(format!("export.{format}")).exists(), "{format}");
        assert_eq!(home.run(&["report", "run", "--format", format]).status.code(), Some(0), "{format}");
    }
    home.run(&["report", "run", "--rewrite"]);
    for format in ["text", "markdown", "json", "csv", "html"] {
        home.run(&["compare", "run", "run", "--format", format]);
    }
    home.run(&["baseline", "save", "run", "--name", "v1", "--allow-invalid"]);
    home.run(&["baseline", "save", "run", "--name", "v1"]);
    home.assert_tight();
}

#[test]
fn nothing_of_shards_or_a_diagnosis_tells_a_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let scenario = scenario.to_str().unwrap().to_owned();
    let set = format!("groups.0.token.client_secret={}", home.text("set-secret"));
    for shard in ["1/2", "2/2"] {
        let out = format!("shard-{}", &shard[..1]);
        let output = home.run(&[
            "run",
            &scenario,
            "--shard",
            shard,
            "--out",
            &out,
            "--progress",
            "none",
            "--set",
            &set,
        ]);
        assert!(home.out().join(out).join("journal.bin").exists(), "{output:?}");
    }
    home.run(&["merge", "shard-1", "shard-2", "--out", "merged"]);
    assert!(home.out().join("merged/report.html").exists());
    home.run(&["run", &scenario, "--shards", "2", "--out", "split", "--progress", "plain", "--set", &set]);
    assert!(home.out().join("split/shards/1/journal.bin").exists());
    let groups = [
        "token-word",
        "basic-html",
        "upgrade-word",
        "query-401",
        "query-word",
        "step-403",
        "step-ok",
        "sub-word",
        "proxy-word",
        "refresh-ok",
    ];
    let diagnoses: Vec<(String, Output)> = std::thread::scope(|scope| {
        let asking: Vec<_> = groups
            .iter()
            .flat_map(|group| [(group, "text"), (group, "json")])
            .map(|(group, format)| {
                let mut command = home.command();
                command.args([
                    "diagnose",
                    &scenario,
                    "--group",
                    group,
                    "--format",
                    format,
                    "--wait",
                    "50ms",
                    "--idle-timeout",
                    "50ms",
                ]);
                scope.spawn(move || (format!("diagnose {group} {format}"), command.output().unwrap()))
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (what, output) in &diagnoses {
        assert_eq!(output.status.code(), Some(0), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
    home.said.extend(diagnoses);
    home.assert_tight();
}

#[test]
fn no_message_about_a_scenario_tells_a_secret() {
    let mut home = Home::new();
    let good = home.give("good.toml", &home.scenario());
    let good = good.to_str().unwrap().to_owned();
    assert_eq!(home.run(&["check", &good]).status.code(), Some(0));
    let secret = home.text("plain-secret");
    // What is wrong with each stands beside a secret, or is one.
    let group = |token: &str, connect: &str| {
        format!(
            "duration = \"1s\"\n[target]\nurl = \"ws://127.0.0.1:1/\"\ntoken_url = \"http://127.0.0.1:1/\"\n[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\n{token}\n[groups.connect]\n{connect}\n"
        )
    };
    let ok = "client_id = \"a\"\nclient_secret = \"b\"";
    let bad = [
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}\"\nauth = \"basik\""), ""),
        group(
            &format!("client_id = \"a\"\nclient_secret = \"\"\"\n{secret}\n{secret}\"\"\"\nauth = \"basik\""),
            "",
        ),
        group(&format!("client_id = 5\nclient_secret = ['{secret}']"), ""),
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}"), ""),
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}\"\nclient_secret = \"{secret}\""), ""),
        group(&format!("grant = \"fixed\"\ntoken = \"{secret}\"\ntokn = \"{secret}\""), ""),
        group(ok, &format!("url = \"ws://me:{secret}@127.0.0.1/\"")),
        group(ok, &format!("url = \"gopher://127.0.0.1/?access_token={secret}\"")),
        group(ok, &format!("url = \"ws://[/?key={secret}\"")),
        group(ok, &format!("path = \"no slash?key={secret}\"")),
        group(ok, &format!("headers = {{ Authorization = \"Bearer {secret}\\u0001\" }}")),
        group(ok, &format!("headers = {{ X-Session = \"{secret}é\", Host = \"here\" }}")),
        group(ok, &format!("proxy = \"http://me:{secret}@\"")),
        group(ok, "headers = { X-Key = { env = \"NOT_SET_AT_ALL\" } }"),
        group(ok, "url = { env = \"CNRY_CLIENT_SECRET\" }"),
        group(ok, "url = \"{uri}\"").replace(
            "name = \"g\"",
            "name = \"g\"\nprepare = { variables = { uri = { env = \"CNRY_TICKET\" } } }",
        ),
        group(ok, &format!("token_in = {{ first_message = \"{{\\\"token\\\":\\\"{secret}\\\"}}\" }}")),
        group(ok, "").replace("[groups.token]", &format!("token = \"{secret}\"\n[groups.tokens]")),
        group("feeder = \"secret.txt\"", ""),
        group("client_id = \"a\"\nclient_secret = { file = \".\" }", ""),
    ];
    for (number, text) in bad.iter().enumerate() {
        let file = home.give(&format!("bad-{number}.toml"), text);
        let file = file.to_str().unwrap().to_owned();
        let checked = home.run(&["check", &file]);
        // A proxy and a URL of variables are found wrong when they are used.
        let late = [12, 15].contains(&number);
        assert_eq!(checked.status.code(), Some(if late { 0 } else { 104 }), "{number}: {text}\n{checked:?}");
        home.run(&["run", &file, "--out", &format!("bad-{number}")]);
        home.run(&["diagnose", &file, "--wait", "50ms", "--idle-timeout", "50ms"]);
        let error = format!(
            "{:?} {:#?}",
            load(Path::new(&file), &Vec::new(), None, &|_| None),
            load(Path::new(&file), &Vec::new(), None, &|name| std::env::var(name).ok())
        );
        std::fs::write(home.out().join(format!("debug-{number}.txt")), error).unwrap();
    }
    let secret = home.text("set-secret");
    for set in [
        format!("groups.0.token.client_secret.x={secret}"),
        format!("groups.99.token.client_secret={secret}"),
        format!("groups.0.token.client_secret=[\"{secret}\"]"),
        format!("groups.0.token={{client_secret=\"{secret}\"}}"),
        format!("groups.0.token=\"{secret}\""),
        format!("groups.0.connect.headers.X-Api-Key=\"{secret}\u{1}\""),
        format!("target.url=ftp://me:{secret}@h/?token={secret}"),
    ] {
        for command in ["check", "run", "diagnose"] {
            let output = home.run(&[command, &good, "--set", &set]);
            assert_eq!(output.status.code(), Some(104), "{command} {set}: {output:?}");
        }
    }
    for command in [
        "run",
        "serve",
        "check",
        "diagnose",
        "compare",
        "report",
        "merge",
        "baseline",
        "schema",
        "completions",
    ] {
        home.run(&[command, "--help"]);
    }
    home.run(&["--help"]);
    home.run(&["schema"]);
    home.run(&["completions", "bash"]);
    home.assert_tight();
}

#[test]
fn a_target_tells_nothing_of_what_it_is_sent() {
    let mut home = Home::new();
    let secret = home.text("target-secret");
    let profile = home.give(
        "mine.toml",
        &format!("[target]\n[[target.clients]]\nid = \"me\"\nsecret = \"{secret}\"\nscopes = [\"analytics:events:read\"]\n"),
    );
    let mut child = home
        .command()
        .arg("serve")
        .arg(&profile)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let address = first.trim().trim_start_matches("listening on http://").to_owned();
    let ask = |request: String| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Whether it is cut off or ends does not matter.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
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
        "POST /_resurge/close HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{{\"{wrong}\":1}}",
        wrong.len() + 6
    ));
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let mut output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout.read_to_end(&mut output.stdout).unwrap();
    home.said.push(("serve".to_owned(), output));
    home.assert_tight();
}

/// Not a test of its own: the child of the next one, in which the run's progress panics with everything that it is shown.
#[test]
fn a_child_that_panics() {
    let Some(scenario) = std::env::var_os(PANIC_IN) else { return };
    let request = RunRequest {
        scenario: PathBuf::from(scenario),
        overrides: Vec::new(),
        seed: None,
        out: Some(PathBuf::from("panicked")),
        authorised: Vec::new(),
        on_progress: Some(Box::new(|scenario, view| panic!("shown: {scenario:?} {scenario:#?} {view:?}"))),
    };
    let done = run(request);
    panic!("done: {done:?}");
}

#[test]
fn a_panic_tells_no_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let mut command = Command::new(std::env::current_exe().unwrap());
    home.surround(&mut command);
    let output = command
        .args(["--exact", "a_child_that_panics", "--nocapture"])
        .env(PANIC_IN, &scenario)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("shown: Scenario {") && said.contains("done: Ok"), "{said}");
    home.said.push(("panic".to_owned(), output));
    home.assert_tight();
}

#[test]
fn no_debug_form_tells_a_secret() {
    let home = Home::new();
    let path = home.give("hostile.toml", &home.scenario());
    let env =
        |name: &str| home.canaries.0.iter().find(|canary| canary.variable == name).map(search::Canary::text);
    let loaded = load(&path, &Vec::new(), None, &env).unwrap();
    let mut text = format!("{loaded:?} {loaded:#?}");
    for group in &loaded.scenario.groups {
        write!(text, "{:?} {:?} {:?} {:?}", group.token, group.connect, group.session, group.prepare)
            .unwrap();
    }
    let Target::Remote(remote) = &loaded.scenario.target else { panic!("{:?}", loaded.scenario.target) };
    write!(text, "{remote:?} {:?}", ProbeToken::nonsense()).unwrap();
    let secret = home.text("target-secret");
    let profile =
        home.give("mine.toml", &format!("[[clients]]\nid = \"me\"\nsecret = \"{secret}\"\nscopes = []\n"));
    let rules = load_target_rules(profile.to_str().unwrap(), &[], &env).unwrap();
    write!(text, "{rules:?}").unwrap();
    let evidence = Evidence::read(
        401,
        Some(&format!("Bearer error=\"{secret}\"")),
        None,
        format!("{{\"code\":\"{secret}\"}}").as_bytes(),
        None,
    );
    assert_eq!(evidence.body_code.as_deref(), Some(secret.as_str()));
    write!(text, "{evidence:?}").unwrap();
    assert!(text.contains("upgrade-word") && text.contains("has_body_code: true"));
    let found = home.canaries.found_in(text.as_bytes());
    assert!(found.is_empty(), "{}", found.join("\n"));
}
