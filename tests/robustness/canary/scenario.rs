//! A scenario whose groups carry every secret to everything that the hostile service does with one.

use std::fmt::Write as _;

use super::home::Home;
use super::hostile;

/// Ways of a page of metrics and of a Prometheus server: each gives back what it was sent.
const OBSERVE_WAYS: [&str; 8] = ["200", "403", "401", "html", "junk", "redirect", "hang", "word"];

impl Home {
    /// A scenario in which groups of one client meet everything that the hostile service has.
    pub(crate) fn scenario(&self) -> String {
        let port = self.port;
        let env = |name: &str| format!("{{ env = \"{}\" }}", self.canaries.get(name).variable);
        let mut text = format!(
            "name = \"hostile\"\nduration = \"1200ms\"\ndrain = \"500ms\"\n[target]\nurl = \"ws://127.0.0.1:{port}/upgrade/403?api_key={}\"\ntoken_url = \"http://127.0.0.1:{port}/token/ok\"\n[thresholds]\nhandshake_403_rate = [\"rate < 1%\"]\n",
            self.canaries.get("query-key").word()
        );
        let mut observed = String::new();
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
            let password = format!(
                "grant = \"password\"\nclient_id = \"me\"\nusername = \"u\"\npassword = {}\nbody = \"json\"\nparams = {{ api_key = \"{}\" }}",
                env("user-password"),
                self.text("parameter-secret")
            );
            group(&format!("password-{way}"), &password, &url, "");
            let exchange = format!(
                "grant = \"token_exchange\"\n{credentials}\nauth = \"client_secret_jwt\"\nsubject_token = {}\ntoken_pointer = \"/t\"",
                env("subject-token")
            );
            group(&format!("exchange-{way}"), &exchange, &url, "");
            let minted = format!(
                "algorithm = \"HS256\"\nkey = {}\nclaims = '{{\"sub\":\"{{claim}}\"}}'",
                env("signing-key")
            );
            group(
                &format!("minted-{way}"),
                &format!("grant = \"jwt\"\nfeeder = \"claims.csv\"\n{minted}"),
                &url,
                "",
            );
            let command = format!(
                "grant = \"command\"\ncommand = [\"sh\", \"-c\", \"printf %s \\\"${}\\\"; echo $CNRY_COMMAND_TOKEN >&2\"]",
                self.canaries.get("command-token").variable
            );
            group(&format!("command-{way}"), &command, &url, "");
            for (kind, password) in
                [("env", env("user-password")), ("plain", format!("\"{}\"", self.text("plain-secret")))]
            {
                let mqtt = format!(
                    "[groups.session.mqtt]\nversion = \"5\"\nusername = \"{{token}}\"\npassword = {password}\nclient_id = \"{{token}}\"\n"
                );
                let connect = format!("{url}\ntoken_in = \"nowhere\"");
                group(&format!("mqtt-{kind}-{way}"), &fixed, &connect, &mqtt);
            }
            let proxy = format!(
                "{url}\nproxy = \"http://me:{}@127.0.0.1:{port}\"",
                self.canaries.get("proxy-password").word()
            );
            group(&format!("proxy-{way}"), &credentials, &proxy, "");
        }
        for way in hostile::UPGRADE_WAYS {
            let url = format!("url = \"ws://127.0.0.1:{port}/upgrade/{way}\"");
            let proving = format!("{fixed}\ndpop = {{ key = {{ file = \"dpop.key\" }} }}");
            group(&format!("proof-{way}"), &proving, &url, "");
        }
        for way in hostile::TOKEN_WAYS {
            let url = format!("url = \"http://127.0.0.1:{port}/token/{way}\"");
            group(&format!("proving-{way}"), &format!("{credentials}\n{url}\ndpop = true"), "", "");
        }
        let certificate =
            "certificate = { chain = { file = \"client.pem\" }, key = { file = \"client.key\" } }";
        let at = format!("url = \"https://127.0.0.1:{port}/token/ok\"");
        let known = format!("client_id = \"me\"\nauth = \"tls_client_auth\"\n{certificate}\n{at}");
        group("certificate", &known, certificate, "");
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
        let cookies = |way: &str| {
            format!(
                "[groups.prepare]\ncookies = true\n[[groups.prepare.steps]]\nurl = \"http://127.0.0.1:{port}/step/ok\"\nsave = {{ sid = {{ cookie = \"sid\" }}, ticket = {{ regex = 'ticket=([^\"]+)' }} }}\n[[groups.prepare.steps]]\nmethod = \"POST\"\nurl = \"http://127.0.0.1:{port}/step/{way}\"\nform = {{ password = \"{}\", again = \"{{sid}}\" }}\nredirects = 3\ntimeout = \"300ms\"\n",
                self.text("form-password"),
            )
        };
        for way in hostile::STEP_WAYS {
            group(&format!("form-{way}"), &credentials, "", &cookies(way));
        }
        let api = format!(
            "[groups.prepare]\nvariables = {{ api_secret = {} }}\n[groups.session]\nfirst_message = '{{\"key\":\"{{api_secret}}\",\"signature\":\"{{hex(hmac_sha256(api_secret, \"GET{{unix_ms}}\"))}}\"}}'",
            env("api-secret")
        );
        for (place, secret, more) in [
            ("query", env("access-secret"), "on_reconnect = \"reuse\""),
            ("header", "\"{secret}\"".to_owned(), "feeder = \"access.csv\""),
        ] {
            for way in ["401", "403", "word", "ok", "frames"] {
                let sign = format!(
                    "url = \"ws://127.0.0.1:{port}/upgrade/{way}\"\ntoken_in = \"nowhere\"\n[groups.connect.sign]\nkind = \"aws-sigv4\"\nservice = \"s\"\nregion = \"r\"\naccess_key_id = \"AKID\"\nsecret_access_key = {secret}\nsession_token = {}\nsignature_in = \"{place}\"\n{more}",
                    env("session-token")
                );
                group(&format!("{place}-signed-{way}"), &fixed, &sign, &api);
            }
        }
        for way in ["401", "word", "frames", "close-at-once", "ok"] {
            let url = format!("url = \"ws://127.0.0.1:{port}/upgrade/{way}\"");
            group(&format!("jar-{way}"), &fixed, &url, &cookies("ok"));
        }
        for way in OBSERVE_WAYS {
            for (kind, what) in [("url", "metric = \"up\""), ("prometheus", "query = \"sum(up\"")] {
                write!(
                    observed,
                    "\n[[observe]]\n{kind} = \"http://127.0.0.1:{port}/observe/{way}?key={}\"\ntimeout = \"300ms\"\n{headers}\nseries = [{{ name = \"{kind}-{way}\", {what} }}]\n",
                    self.canaries.get("query-key").word(),
                )
                .unwrap();
            }
        }
        let reacting = "[[groups.session.on_message]]\ncontains = \"HTTP\"\nsave = { x = \"/none\" }\nreply = \"{token}\"";
        group("reacting", &credentials, &format!("url = \"ws://127.0.0.1:{port}/upgrade/ok\""), reacting);
        let event = env("event-secret");
        let (plain, header) = (self.text("event-plain"), self.text("event-header"));
        write!(
            text,
            "\n[[events]]\nat = \"50ms\"\nname = \"prints\"\ncommand = [\"sh\", \"-c\", \"echo $1 $MINE $MY_SECRET; echo $MINE >&2; exit 1\", \"x\", {event}]\nenvironment = {{ MINE = {event}, MY_SECRET = \"{plain}\" }}\n"
        )
        .unwrap();
        for way in hostile::STEP_WAYS {
            let url =
                format!("http://127.0.0.1:{port}/step/{way}?key={}", self.canaries.get("query-key").word());
            write!(
                text,
                "\n[[events]]\nat = \"60ms\"\ntimeout = \"300ms\"\nhttp = {{ url = \"{url}\", headers = {{ Authorization = {event}, X-Api-Key = \"{header}\" }}, body = '{{\"secret\":\"{plain}\"}}' }}\n"
            )
            .unwrap();
        }
        text + &observed
    }
}
