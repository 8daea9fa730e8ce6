//! `resurge init`.
//!
//! In: answers, or a file of another tool. Out: a commented scenario file, and its schema beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::declare::read_capped;
use crate::draft::{
    Draft, DraftLoad, DraftRequest, DraftTarget, DraftToken, DraftTokenIn, DraftValue, from_async_api,
    from_har, from_k6, scenario_text,
};
use crate::exit_code::ExitCode;
use crate::scenario::keys::TokenPlace;
use crate::scenario::{ScenarioError, load, load_target_rules, profile_names, schema};

/// The schema's file, beside the scenario.
const SCHEMA_FILE: &str = "resurge.schema.json";
/// How often a question is asked.
const MOST_TRIES: u32 = 3;
/// The largest file of another tool.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Where questions would have to be asked, and there is no terminal.
const NOBODY_ANSWERS: &str = "there is nobody to answer questions: name the service with --url, or --profile for the one inside resurge";

const EXAMPLE: &str = "\
Examples:
  resurge init                                (asks three questions)
  resurge init --url wss://api.staging.example.com/events --token-url https://login.staging.example.com/oauth/token --clients 100
  resurge init --profile bearer --clients 500 --out bearer.toml
  resurge init --from-k6 load.js
  resurge init --from-har page.har            (what the browser's network tab saves)

Secrets are not taken over: a variable of the environment stands in the place of each.";

/// Arguments of `resurge init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct InitArgs {
    /// The service's address, ws:// or wss://
    #[arg(long, value_name = "URL", value_parser = parse_address)]
    url: Option<String>,
    /// The token endpoint, for client credentials
    #[arg(long, value_name = "URL", requires = "url", value_parser = parse_http,
        conflicts_with_all = ["profile", "from_k6", "from_har", "from_asyncapi"])]
    token_url: Option<String>,
    /// The client id for the token endpoint
    #[arg(long, value_name = "ID", requires = "token_url", default_value = "load-test")]
    client_id: String,
    /// Use the embedded service, with the rules of a shipped profile
    #[arg(long, value_name = "NAME", conflicts_with = "url", value_parser = parse_profile)]
    profile: Option<String>,
    /// The number of clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    clients: Option<u32>,
    /// Convert a k6 script
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "profile", "from_har", "from_asyncapi"])]
    from_k6: Option<PathBuf>,
    /// Convert a browser's recording (HAR 1.2)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "profile", "from_asyncapi"])]
    from_har: Option<PathBuf>,
    /// Convert an AsyncAPI document (JSON)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "profile"])]
    from_asyncapi: Option<PathBuf>,
    /// The file to write; it must not exist yet
    #[arg(long, value_name = "FILE", default_value = "scenario.toml")]
    out: PathBuf,
}

fn parse_address(text: &str) -> Result<String, String> {
    let is_address =
        text.parse::<url::Url>().is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host());
    if is_address { Ok(text.to_owned()) } else { Err("write it as wss://api.example.com/events".to_owned()) }
}

fn parse_http(text: &str) -> Result<String, String> {
    let is_http =
        text.parse::<url::Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_http {
        Ok(text.to_owned())
    } else {
        Err("write it as https://login.example.com/oauth/token".to_owned())
    }
}

fn parse_profile(text: &str) -> Result<String, String> {
    let names = profile_names();
    if names.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("the shipped profiles are {}", names.join(", ")))
    }
}

pub(super) fn run(args: &InitArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    if fs::symlink_metadata(&args.out).is_ok() {
        writeln!(err, "error: {} is there already: name another file with --out", args.out.display())?;
        return Ok(ExitCode::Usage);
    }
    let draft = match draft(args, err)? {
        Ok(draft) => draft,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Usage);
        }
    };
    let schema_path = args.out.with_file_name(SCHEMA_FILE);
    let files = [
        (&schema_path, serde_json::to_string_pretty(&schema())? + "\n"),
        (&args.out, scenario_text(&draft, &format!("./{SCHEMA_FILE}"))),
    ];
    for (path, text) in files {
        match write_new(path, &text) {
            Ok(()) => writeln!(out, "wrote {}", path.display())?,
            // The schema of an earlier one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && *path == schema_path => {}
            Err(error) => {
                writeln!(err, "error: {}: {error}", path.display())?;
                return Ok(ExitCode::Unexpected);
            }
        }
    }
    for left in &draft.left_out {
        writeln!(err, "not taken over: {left}")?;
    }
    tell_faults(&args.out, err)?;
    write!(out, "{}", next_steps(&draft, &args.out))?;
    Ok(ExitCode::Pass)
}

/// The draft, or what is wrong.
fn draft(args: &InitArgs, err: &mut dyn Write) -> io::Result<Result<Draft, String>> {
    let name = args
        .out
        .file_stem()
        .map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned());
    type From = fn(&str, &str) -> Result<Draft, String>;
    let sources: [(&Option<PathBuf>, From); 3] =
        [(&args.from_k6, from_k6), (&args.from_har, from_har), (&args.from_asyncapi, from_async_api)];
    for (path, read) in sources {
        let Some(path) = path else { continue };
        let text = match read_capped(path, MOST_BYTES) {
            Ok(text) => text,
            Err(error) => return Ok(Err(format!("{}: {error}", path.display()))),
        };
        let file = path.file_name().map_or_else(String::new, |file| file.to_string_lossy().into_owned());
        return Ok(read(&text, &file)
            .map(|draft| with_clients(Draft { name, ..draft }, args.clients))
            .map_err(|fault| format!("{}: {fault}", path.display())));
    }
    let is_asked = args.url.is_none() && args.profile.is_none() && args.clients.is_none();
    let answers = if is_asked {
        let mut input = io::stdin().lock();
        // Answers may be piped. Where nobody is there to answer, nothing is guessed.
        if !io::stdin().is_terminal() && input.fill_buf()?.is_empty() {
            return Ok(Err(NOBODY_ANSWERS.to_owned()));
        }
        ask(&mut input, err)?
    } else {
        Ok(answers_of(args))
    };
    Ok(answers.map(|answers| draft_of(&name, answers)))
}

fn with_clients(draft: Draft, clients: Option<u32>) -> Draft {
    let load = clients.map(|clients| DraftLoad::Clients {
        clients,
        over: Duration::from_secs(5),
        leave: Duration::ZERO,
    });
    match load {
        Some(load) => Draft { load, ..draft },
        None => draft,
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    url: Option<String>,
    token_url: Option<String>,
    client_id: String,
    profile: String,
    clients: u32,
}

fn answers_of(args: &InitArgs) -> Answers {
    Answers {
        url: args.url.clone(),
        token_url: args.token_url.clone(),
        client_id: args.client_id.clone(),
        profile: args.profile.clone().unwrap_or_else(|| "forum".to_owned()),
        clients: args.clients.unwrap_or(10),
    }
}

/// Asks three questions; an empty answer is the default.
fn ask(input: &mut dyn BufRead, err: &mut dyn Write) -> io::Result<Result<Answers, String>> {
    let address = "The service's address, as wss://api.example.com/events [the service inside resurge]:";
    let url = match answered(input, err, address, parse_address)? {
        Ok(url) => url,
        Err(fault) => return Ok(Err(fault)),
    };
    let endpoint = "Its token endpoint, as https://login.example.com/oauth/token [no token]:";
    let token_url = match url {
        None => Ok(None),
        Some(_) => answered(input, err, endpoint, parse_http)?,
    };
    let token_url = match token_url {
        Ok(token_url) => token_url,
        Err(fault) => return Ok(Err(fault)),
    };
    Ok(answered(input, err, "How many clients [10]:", parse_clients)?.map(|clients| Answers {
        url,
        token_url,
        client_id: "load-test".to_owned(),
        profile: "forum".to_owned(),
        clients: clients.unwrap_or(10),
    }))
}

/// The answer to a question, asked again where it is none, [`MOST_TRIES`] times in all; `None`: it is empty. The fault is that of the last answer.
fn answered<T>(
    input: &mut dyn BufRead,
    err: &mut dyn Write,
    question: &str,
    parse: fn(&str) -> Result<T, String>,
) -> io::Result<Result<Option<T>, String>> {
    let mut last = String::new();
    for tries in 1..=MOST_TRIES {
        write!(err, "{question} ")?;
        err.flush()?;
        let mut line = String::new();
        input.read_line(&mut line)?;
        let text = line.trim();
        if text.is_empty() {
            return Ok(Ok(None));
        }
        match parse(text) {
            Ok(answer) => return Ok(Ok(Some(answer))),
            Err(fault) => last = format!("{text}: {fault}"),
        }
        if tries < MOST_TRIES {
            writeln!(err, "{last}")?;
        }
    }
    Ok(Err(last))
}

fn parse_clients(text: &str) -> Result<u32, String> {
    let count = text.replace(['_', ','], "").parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or_else(|| "write a number of clients from 1 to 10,000,000".to_owned())
}

fn draft_of(name: &str, answers: Answers) -> Draft {
    let Answers { url, token_url, client_id, profile, clients } = answers;
    let request = |url| DraftRequest { client_id: client_id.clone(), ..DraftRequest::new(url) };
    // Where the profile takes the token.
    let token_in = if url.is_none() { token_in_of(&profile) } else { None };
    let (target, token) = match (url, token_url) {
        (None, _) => (DraftTarget::Embedded(profile), DraftToken::Request(Box::new(request(None)))),
        (Some(url), Some(token_url)) => (
            DraftTarget::Remote(DraftValue::Plain(url)),
            DraftToken::Request(Box::new(request(Some(DraftValue::Plain(token_url))))),
        ),
        (Some(url), None) => (DraftTarget::Remote(DraftValue::Plain(url)), DraftToken::None),
    };
    with_clients(Draft { target, token, token_in, ..Draft::new(name) }.without_secrets(), Some(clients))
}

/// Where a token goes that a shipped profile does not take in the header.
fn token_in_of(profile: &str) -> Option<DraftTokenIn> {
    let rules = load_target_rules(profile, &[], &|_| None).ok()?;
    let takes = |place| rules.accepts_token_in.contains(&place);
    (takes(TokenPlace::Query) && !takes(TokenPlace::Header))
        .then(|| DraftTokenIn::Query(rules.query_parameter.clone()))
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// What `resurge check` will not take as it stands; variables that are not set yet do not count.
fn tell_faults(path: &Path, err: &mut dyn Write) -> io::Result<()> {
    let env = |name: &str| Some(std::env::var(name).unwrap_or_else(|_| placeholder(name)));
    match load(path, &Vec::new(), None, &env) {
        Err(ScenarioError::Faults(faults)) => {
            writeln!(err, "to be mended by hand:\n{}", faults.render(false))
        }
        Err(error) => writeln!(err, "error: {error}"),
        Ok(_) => Ok(()),
    }
}

/// What may stand where a variable is not set.
fn placeholder(name: &str) -> String {
    if name.ends_with("TOKEN_URL") {
        "https://example.com/token".to_owned()
    } else if name.ends_with("URL") {
        "wss://example.com/".to_owned()
    } else {
        "not-set-yet".to_owned()
    }
}

/// What to do next, with the variables to set and the hosts to name.
fn next_steps(draft: &Draft, path: &Path) -> String {
    let path = path.display();
    let is_remote = matches!(draft.target, DraftTarget::Remote(_));
    let hint = if is_remote {
        "    (a host that is not this machine's or private: with --authorize HOST, for each)"
    } else {
        ""
    };
    format!(
        "next:\n  resurge check {path}    (says which variables it needs, and the plan)\n  resurge run {path}{hint}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_answers_make_a_scenario_and_a_bad_one_is_told() {
        let ask = |typed: &str| ask(&mut typed.as_bytes(), &mut Vec::new()).unwrap();
        let answers = ask("wss://h/x\nhttps://l/token\n1,000\n").unwrap();
        assert_eq!((answers.url.as_deref(), answers.clients), (Some("wss://h/x"), 1_000));
        assert_eq!(answers.token_url.as_deref(), Some("https://l/token"));
        let answers = ask("\n\n").unwrap();
        assert_eq!((answers.url, answers.token_url, answers.clients), (None, None, 10));
        let answers = ask("ftp://x\nws://h/\n\nmany\n0\n7\n").unwrap();
        assert_eq!((answers.url.as_deref(), answers.clients), (Some("ws://h/"), 7), "asked again");
        assert_eq!(ask("ftp://x\n1\n2\n7\n").unwrap_err(), "2: write it as wss://api.example.com/events");
        let fault = ask("\nmany\nmore\nmost\n").unwrap_err();
        assert_eq!(fault, "most: write a number of clients from 1 to 10,000,000");
    }

    #[test]
    fn a_token_endpoint_goes_with_an_address_alone() {
        use clap::Args as _;
        let command = || InitArgs::augment_args(clap::Command::new("init").no_binary_name(true));
        let parse = |arguments: &[&str]| command().try_get_matches_from(arguments).is_ok();
        assert!(parse(&["--url", "ws://h/", "--token-url", "http://h/t"]));
        for other in [["--profile", "forum"], ["--from-k6", "a.js"], ["--from-har", "a.har"]] {
            assert!(!parse(&[&other[..], &["--token-url", "http://h/t"]].concat()), "{other:?}");
        }
    }

    #[test]
    fn what_is_written_is_ready_for_check() {
        let home = tempfile::tempdir().unwrap();
        let answers = |url: Option<&str>, token_url: Option<&str>, profile: &str| Answers {
            url: url.map(str::to_owned),
            token_url: token_url.map(str::to_owned),
            client_id: "me".to_owned(),
            profile: profile.to_owned(),
            clients: 7,
        };
        let mut all = vec![
            answers(Some("wss://h/x"), Some("https://l/token"), ""),
            answers(Some("ws://127.0.0.1:1/"), None, ""),
        ];
        all.extend(profile_names().into_iter().map(|name| answers(None, None, name)));
        for answers in all {
            let text = scenario_text(&draft_of("mine", answers), "./s.json");
            let path = home.path().join("mine.toml");
            fs::write(&path, &text).unwrap();
            let loaded = load(&path, &Vec::new(), None, &|name| Some(placeholder(name)));
            let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(loaded.scenario.groups[0].clients, 7);
        }
    }
}
