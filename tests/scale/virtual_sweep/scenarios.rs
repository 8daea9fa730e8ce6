//! Scenarios at random: what clients and service can do, in any combination.
//!
//! In: a seed. Out: the text of a scenario.

use std::fmt::Write as _;

use resurge::random::{Draws, Purpose};

/// Draws of one seed.
struct Dice(Draws);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Draws::new(seed, Purpose::Bootstrap, 0))
    }

    /// A number from `low` to `high`.
    fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.0.next_unit() < share
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.number(0, choices.len() as u64 - 1) as usize]
    }

    /// A time in milliseconds, short ones as likely as long ones.
    fn ms(&mut self, low: u64, high: u64) -> String {
        let (low, high) = (low.max(1) as f64, high as f64);
        format!("{}ms", (low * (high / low).powf(self.0.next_unit())) as u64)
    }

    fn delay(&mut self, low: u64, high: u64) -> String {
        match self.number(0, 3) {
            0 => format!("\"{}\"", self.ms(low, high)),
            1 => format!("{{ uniform = [\"{low}ms\", \"{}\"] }}", self.ms(low, high)),
            2 => format!("{{ exponential = \"{}\" }}", self.ms(low, high)),
            _ => format!("{{ log_normal = {{ median = \"{}\", sigma = 0.8 }} }}", self.ms(low, high)),
        }
    }

    fn share(&mut self) -> f64 {
        [0.02, 0.1, 0.3, 1.0][self.number(0, 3) as usize]
    }
}

/// The scenario of that seed.
pub(super) fn scenario_of(seed: u64) -> String {
    let dice = &mut Dice::new(seed);
    let duration_s = dice.number(2, 40);
    let mut text = format!("name = \"sweep\"\nseed = {seed}\nduration = \"{duration_s}s\"\n");
    let _ = writeln!(text, "drain = \"{}\"", dice.ms(1, 20_000));
    let sends_messages = dice.chance(0.4);
    text.push_str(&target(dice, duration_s, sends_messages));
    text.push_str(&simulate(dice, duration_s));
    for index in 0..dice.number(1, 3) {
        text.push_str(&group(dice, index, duration_s, sends_messages));
    }
    for _ in 0..dice.number(0, 3) {
        text.push_str(&storm(dice, duration_s));
    }
    text
}

fn capacity(dice: &mut Dice) -> String {
    let retry_after =
        if dice.chance(0.5) { format!(", retry_after = \"{}\"", dice.ms(100, 3_000)) } else { String::new() };
    format!(
        "{{ servers = {}, service = {}, queue = {}, over_limit = {}, abandoned = \"{}\"{retry_after} }}",
        dice.number(1, 4),
        dice.delay(1, 300),
        dice.number(0, 30),
        dice.pick(&["429", "503", "500", "403"]),
        dice.pick(&["served", "dropped"]),
    )
}

/// A key, the share of scenarios that have it, and its value.
type OptionalKey = (&'static str, f64, fn(&mut Dice) -> String);

fn target(dice: &mut Dice, duration_s: u64, sends_messages: bool) -> String {
    let mut text = "[target]\n".to_owned();
    let mut put = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    put(
        "idle_timeout",
        if dice.chance(0.3) { "\"never\"".into() } else { format!("\"{}\"", dice.ms(200, 10_000)) },
    );
    put("idle_action", format!("\"{}\"", dice.pick(&["close", "close", "close", "drop", "silence"])));
    put("idle_counts", format!("\"{}\"", dice.pick(&["client", "target", "either"])));
    put(
        "invalidation",
        format!("\"{}\"", dice.pick(&["never", "on-disconnect", "on-disconnect", "on-new-token", "on-use"])),
    );
    put("token_life", format!("\"{}\"", dice.ms(300, 60_000)));
    put("close_timeout", format!("\"{}\"", dice.ms(10, 5_000)));
    put("refusal_detail", format!("\"{}\"", dice.pick(&["full", "bare", "html"])));
    put("refusal_status", dice.pick(&["403", "401", "\"rfc6750\""]).to_owned());
    if dice.chance(0.3) {
        let manners = [
            "\"reset\"",
            "\"silence\"",
            "{ message = \"{code}\", close = 4401 }",
            "{ close = 4403 }",
            "{ message = \"no\" }",
        ];
        put("refusal_manner", dice.pick(&manners).to_owned());
    }
    if sends_messages {
        put("messages_every", format!("\"{}\"", dice.ms(50, 3_000)));
    }
    let options: [OptionalKey; 9] = [
        ("tls", 0.2, |_| "true".into()),
        ("token_delay", 0.4, |dice| dice.delay(1, 400)),
        ("upgrade_delay", 0.4, |dice| dice.delay(1, 400)),
        ("token_capacity", 0.3, capacity),
        ("upgrade_capacity", 0.3, capacity),
        ("client_lock", 0.1, |dice| format!("\"{}\"", dice.ms(10, 1_000))),
        ("token_end", 0.2, |dice| {
            format!(
                "{{ code = 4002, grace = \"{}\", at_revocation = {} }}",
                dice.ms(1, 500),
                dice.chance(0.5)
            )
        }),
        ("refresh_tokens", 0.3, |dice| {
            let rules = [
                "rotate = false",
                "rotate = true",
                "on_reuse = \"end-family\"",
                "on_reuse = \"end-family-and-tokens\"",
            ];
            format!("{{ life = \"{}\", {} }}", dice.ms(500, 60_000), dice.pick(&rules))
        }),
        ("token_limit", 0.1, |dice| {
            format!("{{ count = {}, per = \"{}\" }}", dice.number(1, 50), dice.ms(100, 5_000))
        }),
    ];
    for (key, share, value) in options {
        if dice.chance(share) {
            put(key, value(dice));
        }
    }
    if dice.chance(0.15) {
        put("sessions_per_client", dice.number(1, 20).to_string());
        put("at_session_limit", format!("\"{}\"", dice.pick(&["refuse", "displace"])));
    }
    if dice.chance(0.1) {
        put(
            "handshake_limit",
            format!("{{ count = {}, per = \"{}\" }}", dice.number(1, 40), dice.ms(100, 5_000)),
        );
    }
    for _ in 0..dice.number(0, 3) {
        text.push_str(&target_fault(dice, duration_s));
    }
    if dice.chance(0.15) {
        let _ = write!(
            text,
            "[[target.storms]]\nat = \"{}\"\nevery = \"{}\"\ncode = 1012\nfraction = {}\n",
            dice.ms(100, 5_000),
            dice.ms(500, 5_000),
            dice.share()
        );
    }
    text
}

fn target_fault(dice: &mut Dice, duration_s: u64) -> String {
    let after = format!("after = \"{}\"\n", dice.ms(1, 3_000));
    let delay = format!("delay = {}\n", dice.delay(1, 2_000));
    let (kind, keys) = match dice.number(0, 19) {
        0 => ("token_slow", delay),
        1 => ("token_hang", String::new()),
        2 => (
            "token_status",
            format!("status = {}\nretry_after = \"1s\"\n", dice.pick(&["429", "500", "503"])),
        ),
        3 => ("token_html", String::new()),
        4 => ("token_truncated", String::new()),
        5 => ("token_clock_skew", format!("skew = \"{}{}\"\n", dice.pick(&["+", "-"]), dice.ms(10, 60_000))),
        6 => ("accept_slow", delay),
        7 => ("upgrade_stall", String::new()),
        8 => ("reset_before_upgrade", String::new()),
        9 => ("reset_during_upgrade", String::new()),
        10 => ("reset_after_upgrade", after),
        11 => ("close_without_frame", after),
        12 => ("half_open", after),
        13 => ("wrong_accept", String::new()),
        14 => ("oversized_frame", format!("{after}bytes = {}\n", dice.pick(&["200", "10000000"]))),
        15 => ("malformed_frame", after),
        16 => ("invalid_utf8", after),
        17 => ("masked_frame", after),
        18 => ("unsolicited_subprotocol", String::new()),
        _ => ("upgrade_status", format!("status = {}\n", dice.pick(&["403", "429", "502", "503"]))),
    };
    format!(
        "[[target.faults]]\nkind = \"{kind}\"\n{keys}share = {}\n{}",
        dice.share(),
        from_until(dice, duration_s)
    )
}

fn from_until(dice: &mut Dice, duration_s: u64) -> String {
    let from = dice.number(0, duration_s * 900);
    let until = from + dice.number(1, 5_000);
    if dice.chance(0.7) { format!("from = \"{from}ms\"\nuntil = \"{until}ms\"\n") } else { String::new() }
}

fn simulate(dice: &mut Dice, duration_s: u64) -> String {
    let mut text = "[simulate.stages]\n".to_owned();
    for (stage, most) in [
        ("dns", 50),
        ("tcp", 300),
        ("tls", 300),
        ("upgrade", 500),
        ("token", 500),
        ("message", 300),
        ("detect", 300),
    ] {
        if dice.chance(0.6) {
            let _ = writeln!(text, "{stage} = {}", dice.delay(1, most));
        }
    }
    for (endpoint, share) in [("token", 0.1), ("upgrade", 0.1)] {
        if dice.chance(share) {
            let inner = capacity(dice);
            let _ = write!(
                text,
                "[simulate.{endpoint}]\n{}\n",
                inner
                    .trim_matches(['{', '}', ' '])
                    .replace(", retry", "\nretry")
                    .replace(", queue", "\nqueue")
                    .replace(", over", "\nover")
                    .replace(", abandoned", "\nabandoned")
                    .replace(", service", "\nservice")
            );
        }
    }
    for _ in 0..dice.number(0, 2) {
        let (stage, kinds): (&str, &[&str]) = match dice.number(0, 4) {
            0 => ("dns", &["refused", "blackhole"]),
            1 => ("tcp", &["refused", "blackhole"]),
            2 => ("tls", &["reset", "blackhole"]),
            3 => ("upgrade", &["reset", "blackhole"]),
            _ => ("token", &["refused", "reset", "blackhole"]),
        };
        let kind = dice.pick(kinds);
        let _ = write!(
            text,
            "[[simulate.faults]]\nstage = \"{stage}\"\nkind = \"{kind}\"\nshare = {}\n{}",
            dice.share(),
            from_until(dice, duration_s)
        );
    }
    text
}

fn group(dice: &mut Dice, index: u64, duration_s: u64, sends_messages: bool) -> String {
    let clients = dice.number(1, 25);
    let start = match dice.number(0, 2) {
        0 => "\"at-once\"".to_owned(),
        _ => format!("{{ over = \"{}ms\" }}", dice.number(1, duration_s * 700)),
    };
    let mut text = format!("[[groups]]\nname = \"g{index}\"\nclients = {clients}\nstart = {start}\n");
    text.push_str(&token(dice));
    let _ = writeln!(text, "[groups.connect]");
    for key in ["dns_timeout", "tcp_timeout", "tls_timeout", "upgrade_timeout", "close_timeout"] {
        if dice.chance(0.5) {
            let _ = writeln!(text, "{key} = \"{}\"", dice.ms(20, 5_000));
        }
    }
    if dice.chance(0.2) {
        let _ = writeln!(
            text,
            "token_in = {}",
            dice.pick(&["\"nowhere\"", "{ query = \"access_token\" }", "{ subprotocol = \"bearer.\" }"])
        );
    }
    let notices = dice.chance(0.6);
    text.push_str(&session(dice, notices, sends_messages));
    if dice.chance(0.5) {
        let hows: &[&str] = if notices { &["close", "rst", "half-open"] } else { &["close", "rst"] };
        let how = dice.pick(hows);
        let code = if how == "close" && dice.chance(0.5) { "code = 4000\n" } else { "" };
        let _ = write!(
            text,
            "[[groups.disconnects]]\nafter = \"{}\"\nhow = \"{how}\"\n{code}",
            dice.ms(50, 8_000)
        );
    }
    text.push_str(&reconnect(dice));
    text
}

fn token(dice: &mut Dice) -> String {
    match dice.number(0, 9) {
        0 => return "token = { grant = \"none\" }\n".to_owned(),
        1 => return "token = { grant = \"fixed\", token = \"nonsense\" }\n".to_owned(),
        _ => {}
    }
    let grant = dice.pick(&["client_credentials", "client_credentials", "refresh_token"]);
    let mut text = format!(
        "[groups.token]\ngrant = \"{grant}\"\nclient_id = \"{}\"\nclient_secret = \"s\"\n",
        dice.pick(&["a", "b"])
    );
    let policies = ["\"fetch\"", "\"fetch\"", "\"reuse\"", "{ fetch_if_older_than = \"1s\" }"];
    let _ = writeln!(text, "on_reconnect = {}", dice.pick(&policies));
    let _ = writeln!(text, "sharing = \"{}\"", dice.pick(&["own", "own", "group", "group-stampede"]));
    let _ = writeln!(text, "timeout = \"{}\"", dice.ms(30, 8_000));
    match dice.chance(0.3) {
        true => text.push_str("connection = \"fresh\"\n"),
        false => {
            let _ = writeln!(text, "max_connections = {}", dice.pick(&["1", "3", "256"]));
        }
    }
    if grant == "refresh_token" && dice.chance(0.3) {
        text.push_str("refresh_token = \"stolen\"\n");
    }
    if dice.chance(0.3) {
        let _ = write!(text, "refresh_before_expiry = \"{}\"\nrefresh_jitter = 0.5\n", dice.ms(100, 5_000));
    }
    if dice.chance(0.2) {
        text.push_str("fetch_on_codes = [1001, 1006]\n");
    }
    if dice.chance(0.1) {
        let _ = writeln!(text, "clock_skew = \"{}{}\"", dice.pick(&["+", "-"]), dice.ms(10, 30_000));
    }
    if dice.chance(0.1) {
        text.push_str("scopes = [\"users:read\"]\n");
    }
    text
}

fn session(dice: &mut Dice, notices: bool, sends_messages: bool) -> String {
    let mut text = "[groups.session]\n".to_owned();
    if notices {
        match dice.number(0, 2) {
            0 => {
                let _ = writeln!(
                    text,
                    "keep_alive = {{ ping_every = \"{}\", timeout = \"{}\" }}",
                    dice.ms(50, 5_000),
                    dice.ms(20, 2_000)
                );
            }
            1 => {
                let _ = writeln!(
                    text,
                    "keep_alive = {{ text_every = \"{}\", text = \"hi\", timeout = \"{}\" }}",
                    dice.ms(50, 5_000),
                    dice.ms(20, 2_000)
                );
            }
            _ => {
                let _ = writeln!(text, "silence_timeout = \"{}\"", dice.ms(100, 8_000));
            }
        }
    }
    if dice.chance(0.2) {
        let _ = writeln!(text, "send = {{ rate = \"{}/s\", text = \"x\" }}", dice.number(1, 20));
    }
    if sends_messages && dice.chance(0.4) {
        let ready = dice.pick(&[
            "\"first-message\"",
            "{ message_contains = \"seq\" }",
            "{ message_contains = \"never\" }",
        ]);
        let _ = write!(text, "ready = {ready}\nready_timeout = \"{}\"\n", dice.ms(50, 5_000));
    }
    if dice.chance(0.1) {
        text.push_str("first_message = \"hello {client}\"\n");
    }
    if dice.chance(0.4) {
        let _ = writeln!(text, "admission = \"{}\"", dice.ms(0, 3_000));
    }
    if dice.chance(0.3) {
        let _ = writeln!(text, "refused_within = \"{}\"", dice.ms(0, 10_000));
    }
    if dice.chance(0.3) {
        let rules = ["starts_with = \"token\", words = \"/code\"", "equals = \"no\"", "contains = \"seq\""];
        let _ = writeln!(text, "refused_on = [{{ {} }}]", dice.pick(&rules));
    }
    text
}

fn reconnect(dice: &mut Dice) -> String {
    let mut text = "[groups.reconnect]\n".to_owned();
    let base = dice.ms(10, 2_000);
    let jitter = dice.pick(&[
        "\"none\"",
        "\"full\"",
        "\"equal\"",
        "\"decorrelated\"",
        "\"above-base\"",
        "0.5",
        "{ share_within = 0.5 }",
        "{ own_base = \"60s\" }",
        "{ add = [\"1ms\", \"50ms\"] }",
    ]);
    let backoff = match dice.number(0, 4) {
        0 => "{ kind = \"none\" }".to_owned(),
        1 => format!("{{ kind = \"constant\", base = \"{base}\", jitter = {jitter} }}"),
        2 => format!("{{ kind = \"linear\", base = \"{base}\", max = \"5s\", jitter = {jitter} }}"),
        3 => format!("{{ kind = \"steps\", steps = [\"{base}\", \"3s\"], jitter = {jitter} }}"),
        _ => format!("{{ kind = \"exponential\", base = \"{base}\", max = \"10s\", jitter = {jitter} }}"),
    };
    // A wait of nothing between attempts that take nothing would never end.
    let is_none = backoff.contains("none\" }") && backoff.contains("kind = \"none\"");
    let _ = writeln!(text, "backoff = {backoff}");
    if is_none || dice.chance(0.4) {
        let _ = writeln!(text, "max_attempts = {}", dice.number(1, 12));
    }
    if dice.chance(0.2) {
        let _ = writeln!(text, "give_up_after = \"{}\"", dice.ms(100, 20_000));
    }
    if dice.chance(0.4) {
        let _ = writeln!(
            text,
            "refetch_on = {}",
            dice.pick(&["[]", "[401, 403]", "[403]", "[401, 4401, \"no\"]"])
        );
    }
    if dice.chance(0.15) {
        let _ = writeln!(text, "give_up_on = {}", dice.pick(&["[403]", "[429, 503]", "[401]", "[4403]"]));
    }
    if dice.chance(0.3) {
        let from = ["\"open\"", "\"ready\"", "{ after = \"1s\" }"];
        let _ = writeln!(text, "reset_on = {}", dice.pick(&from));
    }
    if dice.chance(0.2) {
        text.push_str("failure_is_close = true\n");
    }
    if dice.chance(0.1) {
        text.push_str("failure_is_final = true\n");
    }
    if dice.chance(0.1) {
        text.push_str("at_once_codes = [1012]\n");
    }
    if dice.chance(0.2) {
        text.push_str("honour_retry_after = false\n");
    }
    if dice.chance(0.2) {
        let _ = writeln!(
            text,
            "on_codes = {}",
            dice.pick(&["[1001, 1006]", "[1012]", "[1000, 1001, 1006, 1012, 4000, 4001]"])
        );
    }
    text
}

fn storm(dice: &mut Dice, duration_s: u64) -> String {
    let at = dice.number(1, duration_s * 1_000 - 1);
    let share = dice.share();
    let by = match dice.number(0, 2) {
        0 => "by = \"client\"\nhow = \"rst\"\n",
        1 => "by = \"client\"\nhow = \"close\"\ncode = 4001\n",
        _ => "by = \"target\"\ncode = 1012\n",
    };
    format!("[[storms]]\nat = \"{at}ms\"\nfraction = \"{}%\"\n{by}", share * 100.0)
}
