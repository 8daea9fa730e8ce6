//! A place in which the program runs with every secret there is, and the search of all that comes out.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::hostile;
use super::search::{Canaries, Canary};
use crate::support::program::resurge;

/// `{"alg":"ES256","jwk":`, as the header of every proof begins, encoded.
const PROOF: &str = "eyJhbGciOiJFUzI1NiIsImp3ayI6";
/// Every secret that there can be.
const NAMES: [&str; 37] = [
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
    "event-secret",
    "event-plain",
    "event-header",
    "jar-cookie",
    "form-password",
    "user-password",
    "parameter-secret",
    "subject-token",
    "signing-key",
    "fed-claim",
    "access-secret",
    "session-token",
    "fed-access-secret",
    "api-secret",
    "tls-ticket",
];
/// What stands in a signed URL, and nowhere else.
const SIGNED: &[u8] = b"X-Amz-Signature";
/// A folder for what the programs are given, and one for what they leave.
pub(crate) struct Home {
    home: TempDir,
    pub(crate) canaries: Canaries,
    pub(crate) port: u16,
    /// What was said so far.
    pub(crate) said: Vec<(String, Output)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let mut canaries = Canaries::new(&NAMES);
        let home = tempfile::tempdir().unwrap();
        for folder in ["in", "out"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let port = hostile::start(&canaries);
        let keys = ["dpop-key", "certificate-key"].map(|name| {
            let key = rcgen::KeyPair::generate().unwrap();
            // The line of a PEM file that holds most of the key.
            let line = key.serialize_pem().lines().nth(2).unwrap()[..40].to_owned();
            canaries.0.push(Canary::as_is(name, &line));
            key
        });
        // What every proof begins with that such a key signs.
        canaries.0.push(Canary::as_is("proof", PROOF));
        let shown = rcgen::CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        let shown = shown.self_signed(&keys[1]).unwrap().pem();
        let this = Self { home, canaries, port, said: Vec::new() };
        this.give("dpop.key", &keys[0].serialize_pem());
        this.give("client.key", &keys[1].serialize_pem());
        this.give("client.pem", &shown);
        this.give("secret.txt", &this.text("file-secret"));
        this.give("claims.csv", &format!("claim\n\"{}\"\n", this.text("fed-claim")));
        this.give("access.csv", &format!("secret\n\"{}\"\n", this.text("fed-access-secret")));
        this.give("feeder.csv", &format!("client_id,client_secret\nme,{}\n", this.text("feeder-secret")));
        this
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.canaries.get(name).text()
    }

    pub(crate) fn give(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join("in").join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    /// The program, with every secret in its environment, and logs at their most talkative.
    pub(crate) fn command(&self) -> Command {
        let mut command = resurge();
        self.surround(&mut command);
        command
    }

    pub(crate) fn surround(&self, command: &mut Command) {
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
    pub(crate) fn run(&mut self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).output().unwrap();
        self.said.push((arguments.join(" "), output.clone()));
        output
    }

    /// What has come out anywhere.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mut leaks = self.canaries.found_below(&self.out());
        for (what, output) in &self.said {
            for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
                // What was typed may stand in a line that repeats it, as it does in a shell's history; not here.
                let found = self.canaries.found_in(bytes);
                let first: String = what.chars().take(60).collect();
                leaks.extend(found.into_iter().map(|found| format!("{stream} of `{first}`: {found}")));
                if bytes.windows(SIGNED.len()).any(|window| window == SIGNED) {
                    leaks.push(format!("{stream} of `{first}`: a signed URL"));
                }
            }
        }
        leaks
    }

    pub(crate) fn assert_tight(&self) {
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    }
}
