//! Scripts as users write them, and what becomes of them.

use super::super::{DraftSay, DraftWhen, assert_loads, scenario_text};
use super::*;

/// As k6's users write them: a token in setup-like code, stages, thresholds, timers.
const WHOLE: &str = r#"
import ws from 'k6/ws';
import http from 'k6/http';
import { check } from 'k6';

const BASE = __ENV.BASE || 'wss://api.staging.example.com'; // where
export const options = {
  stages: [
    { duration: '30s', target: 50 },
    { duration: '1m', target: 50 },
    { duration: '10s', target: 0 },
  ],
  thresholds: { ws_connecting: ['p(95)<500'], checks: ['rate>0.99'] },
};

export default function () {
  const login = http.post('https://login.example.com/oauth/token', {
    grant_type: 'client_credentials', client_id: 'load', client_secret: 'sesame', scope: 'a b', audience: 'https://api',
  });
  const token = login.json('access_token');
  const params = { headers: { Authorization: `Bearer ${token}`, 'X-Client': 'k6', 'X-Api-Key': 'hidden' }, tags: { t: 'x' } };
  const res = ws.connect(BASE + '/events?v=1', params, function (socket) {
    socket.on('open', () => {
      socket.send(JSON.stringify({ op: 'subscribe', topic: 'prices' }));
      socket.setInterval(() => { socket.ping(); }, 15000);
      socket.setInterval(function () { socket.send('tick'); }, 1000);
      socket.send(JSON.stringify({ op: 'auth', t: token }));
    });
    socket.setTimeout(() => socket.close(), 60 * 1000);
  });
  check(res, { 'status is 101': (r) => r && r.status === 101 });
}
"#;

#[test]
fn a_whole_script_becomes_a_scenario_without_its_secrets() {
    let draft = from_k6(WHOLE, "events.js").unwrap();
    let text = scenario_text(&draft, "resurge.schema.json");
    insta::assert_snapshot!(text, @r##"
    #:schema resurge.schema.json
    # Taken over from the k6 script events.js.
    # Not taken over: the header X-Api-Key may hold a secret: it is read from the variable X_API_KEY
    # Not taken over: a close after 60 s, after which a k6 user begins anew: here clients hold their sessions; [[groups.disconnects]] or arrivals with `stay` have them leave
    # Not taken over: the threshold checks: rate>0.99
    # Not taken over: checks: say what must hold of replies with [[groups.session.say]] reply.check, of the rest with [thresholds]
    name = "events.js"
    duration = "1m40s"

    # Another host than this machine or a private address is hit with `--authorize HOST` alone.
    [target]
    kind = "remote"
    url = "wss://api.staging.example.com/events?v=1"
    token_url = "https://login.example.com/oauth/token"

    [[groups]]
    name = "clients"
    clients = 50
    start = { stages = [{ clients = 50, over = "30s" }] }
    leave = { over = "10s" }

    # Each client fetches its own token, and a new one is fetched before a client comes back.
    [groups.token]
    client_id = "load"
    client_secret = { env = "RESURGE_CLIENT_SECRET" }
    scopes = ["a", "b"]
    params = { audience = "https://api" }
    # "reuse" comes back with the old token instead: so you see whether the service refuses that, with 403.
    on_reconnect = "fetch"

    [groups.connect]
    headers = { X-Client = "k6", X-Api-Key = { env = "X_API_KEY" } }

    [groups.session]
    keep_alive = { ping_every = "15s", timeout = "10s" }

    [[groups.session.say]]
    text = '{"op":"subscribe","topic":"prices"}'

    [[groups.session.say]]
    text = "tick"
    when = { every = "1s" }

    [[groups.session.say]]
    text = '{"op":"auth","t":"{token}"}'

    # After a disconnect: other services want other waits, see `policy` for those of known clients.
    [groups.reconnect]
    backoff = { kind = "exponential", base = "500ms", max = "30s", jitter = "full" }

    # To see how clients come back, disconnect all of them at one moment: take the signs away.
    # [[storms]]
    # at = "50s"
    # by = "client"
    # how = "rst"

    # What must hold; where it does not, the exit code is 99.
    [thresholds]
    "connect_latency" = ["p(95) < 500ms"]
    "##);
    assert_loads(&text);
    for secret in ["sesame", "hidden"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn times_and_conditions_are_k6s() {
    let ms = Duration::from_millis;
    for (text, time) in [
        ("1m30s", Some(ms(90_000))),
        ("500ms", Some(ms(500))),
        ("1.5h", Some(ms(5_400_000))),
        ("250", Some(ms(250))),
        ("0s", None),
        ("s", None),
        ("-1s", None),
        ("1x", None),
        ("", None),
    ] {
        assert_eq!(k6_time(text), time, "{text}");
    }
    assert_eq!(our_condition("p(99.9) <= 1000").unwrap(), "p(99.9) <= 1000ms");
    assert_eq!(our_condition("avg<200").unwrap(), "avg < 200ms");
    assert_eq!(
        (our_condition("rate>0.99"), our_condition("count"), our_condition("p(95)<abc")),
        (None, None, None)
    );
}

#[test]
fn users_are_those_of_the_options() {
    let load = |options: &str| {
        let script = format!("export const options = {options};\nnew WebSocket('ws://h/');");
        let draft = from_k6(&script, "x").unwrap();
        (draft.load, draft.duration.as_secs(), draft.left_out.len())
    };
    let at_once = |clients| DraftLoad::Clients { clients, over: Duration::ZERO, leave: Duration::ZERO };
    assert_eq!(load("{ vus: 20, duration: '2m' }"), (at_once(20), 120, 0));
    let named =
        "{ scenarios: { a: { executor: 'constant-vus', vus: 5, duration: '30s' }, b: { executor: 'x' } } }";
    assert_eq!(load(named), (at_once(5), 30, 1));
    let rate = "{ scenarios: { a: { executor: 'constant-arrival-rate', rate: 30, timeUnit: '1m', duration: '5m' } } }";
    assert_eq!(load(rate), (DraftLoad::Arrivals { per_second: 0.5, stay: None }, 300, 0));
    let seconds = Duration::from_secs;
    let steps = "{ stages: [{ duration: '10s', target: 5 }, { duration: '20s', target: 5 }, { duration: '10s', target: 8 }, { duration: '5s', target: 0 }] }";
    let stages = DraftLoad::Stages { stages: vec![(5, seconds(10)), (3, seconds(30))], leave: seconds(5) };
    assert_eq!(load(steps), (stages, 45, 0));
    // What is computed leaves ten clients for a minute.
    assert_eq!(load("{ vus: count() }").1, 60);
}

#[test]
fn the_browser_like_api_and_what_is_no_websocket() {
    let script = "const ws = new WebSocket(`ws://${__ENV.HOST}/x`, ['v1.events'], { headers: { Authorization: `Bearer ${__ENV.TOKEN}` } }); ws.addEventListener('open', () => { ws.send('hi') })";
    let draft = from_k6(script, "x").unwrap();
    assert_eq!(draft.target, DraftTarget::Remote(DraftValue::Env("RESURGE_URL".to_owned())));
    assert_eq!(
        (draft.token, draft.subprotocols),
        (DraftToken::Env("TOKEN".to_owned()), vec!["v1.events".to_owned()])
    );
    assert_eq!(draft.says, [DraftSay { text: "hi".to_owned(), when: DraftWhen::Ready }]);
    assert!(draft.left_out[0].contains("ws://${__ENV.HOST}/x"), "{:?}", draft.left_out);
    assert!(from_k6("http.get('http://h/')", "x").is_err());
}

#[test]
fn a_token_in_the_address_is_no_part_of_the_file() {
    let draft = from_k6("ws.connect('wss://h/x?access_token=sesame', null, f)", "x").unwrap();
    let text = scenario_text(&draft, "s");
    assert!(!text.contains("sesame") && text.contains("access_token"), "{text}");
}

#[test]
fn answers_to_events_are_told_and_not_said_at_once() {
    let script = "ws.connect('ws://h/', null, (s) => { s.on('open', () => { s.send('hi') }); s.on('message', (m) => { if (m === '2') { s.send('3') } }); s.on('error', () => s.send('bye')) })";
    let draft = from_k6(script, "x").unwrap();
    assert_eq!(draft.says, [DraftSay { text: "hi".to_owned(), when: DraftWhen::Ready }]);
    assert!(
        draft.left_out.len() == 2 && draft.left_out[0].contains("event message (3)"),
        "{:?}",
        draft.left_out
    );
    let script = "const s = new WebSocket('ws://h/'); s.onopen = () => { s.send('hi'); f(); }; s.onmessage = (m) => { log(m); s.send('3') };";
    let draft = from_k6(script, "x").unwrap();
    assert_eq!(draft.says, [DraftSay { text: "hi".to_owned(), when: DraftWhen::Ready }]);
    assert!(draft.left_out[0].contains("event message (3)"), "{:?}", draft.left_out);
}

#[test]
fn what_k6_computes_has_our_variables_and_a_token_in_the_address_a_place() {
    let script = "export function setup() { const r = http.post('http://h/token', { grant_type: 'client_credentials', client_id: 'a' }); return r.json('access_token'); }
        export default function (token) { ws.connect(`ws://h/x?v=1&access_token=${token}`, null, (s) => { s.on('open', () => {
            s.send(JSON.stringify({ id: uuidv4(), at: Date.now(), n: randomIntBetween(1, 10), who: `vu-${__VU}` })) }) }) }";
    let draft = from_k6(script, "x").unwrap();
    assert_eq!(draft.says[0].text, r#"{"id":"{uuid}","at":{now_ms},"n":{random:1-10},"who":"vu-{client}"}"#);
    assert_eq!(draft.token_in, Some(DraftTokenIn::Query("access_token".to_owned())));
    let text = scenario_text(&draft, "s");
    assert!(text.contains("url = \"ws://h/x?v=1\"") && text.contains("sharing = \"group\""), "{text}");
    assert_loads(&text);
}

/// A public client, a threshold that ends the run, a token in a subprotocol.
const PUBLIC: &str = r#"
import ws from 'k6/ws';
import http from 'k6/http';
export const options = {
  vus: 5, duration: '20s',
  thresholds: {
    ws_connecting: [{ threshold: 'p(95)<500', abortOnFail: true, delayAbortEval: '10s' }],
    checks: [{ threshold: 'rate>0.9', abortOnFail: true }],
  },
};
export default function () {
  http.post('https://login.example.com/oauth/token', { grant_type: 'password', client_id: 'app', username: 'u', password: 'sesame' });
  ws.connect('wss://api.example.com/', { headers: { 'Sec-WebSocket-Protocol': 'v1, bearer.eyJh.eyJz.c2ln' } }, () => {});
}
"#;

#[test]
fn a_public_client_has_no_secret_and_what_ends_a_run_is_taken_over() {
    let draft = from_k6(PUBLIC, "public.js").unwrap();
    let text = scenario_text(&draft, "resurge.schema.json");
    assert!(text.contains("grant = \"password\"\nclient_id = \"app\"\nusername = \"u\"\n"), "{text}");
    assert!(!text.contains("client_secret") && !text.contains("eyJ") && !text.contains("sesame"), "{text}");
    let threshold =
        "\"connect_latency\" = [{ expr = \"p(95) < 500ms\", abort_on_fail = true, delay = \"10s\" }]";
    assert!(text.contains(threshold), "{text}");
    let left = "# Not taken over: the threshold checks: rate>0.9, and that it ends the run (abortOnFail)";
    assert!(text.contains(left), "{text}");
    let connect = "token_in = { subprotocol = \"bearer.\" }\nsubprotocols = [\"v1\"]";
    assert!(text.contains(connect), "{text}");
    assert_loads(&text);
}
