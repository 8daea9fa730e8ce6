//! Where services, proxies and names lead is not obeyed when it is to others.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::HOSTS;
use super::service::{Came, is_of_others};
use super::world::{Case, World, each_with_a_world, hook_at, near, step_at, to_url, token_at};
use crate::support::output::text as text_of;

/// What a service says is not obeyed where it leads to others.
pub(crate) fn handed_out_by_a_service(world: &mut World) {
    let no_token = "token = { grant = \"none\" }";
    // Redirects: none is followed, whether authorised or not.
    let redirects = [
        to_url("ws://127.0.0.1:PORT/to?http://8.8.8.8:PORT/"),
        to_url("ws://127.0.0.1:PORT/to?ws://public.test:PORT/"),
        token_at("http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/"),
        step_at("http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/", ""),
        near(&format!(
            "{no_token}\n[[observe]]\nurl = \"http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/\"\nseries = [{{ name = \"m\", metric = \"m\" }}]"
        )),
        step_at("http://127.0.0.1:PORT/to?//[2001:4860:4860::8888]:PORT/", ""),
        hook_at("http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/"),
    ];
    let home = world.home.clone();
    each_with_a_world(&home, &redirects, |world, case| {
        for more in [&[][..], &["--authorize", "8.8.8.8", "--authorize", "public.test"]] {
            for command in ["run", "diagnose"] {
                let output = world.program(command, case, more);
                assert_ne!(output.status.code(), Some(104), "{}: {output:?}", world.text(case));
                let came = world.service.take();
                assert!(
                    !came.is_empty() && came.iter().all(|came| !is_of_others(&came.to)),
                    "{}: {came:?}",
                    world.text(case)
                );
            }
        }
    });
    // Those that a step follows: not to others, but with leave.
    let followed = [
        ("http://8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("http://public.test:PORT/", "public.test", "8.8.8.8"),
        ("//[2001:4860:4860::8888]:PORT/", "2001:4860:4860::8888", "2001:4860:4860::8888"),
        ("http://169.254.169.254:PORT/latest", "169.254.169.254", "169.254.169.254"),
    ];
    each_with_a_world(&home, &followed, |world, (url, host, to)| {
        let case = near(&format!(
            "{no_token}\nconnect = {{ url = \"ws://127.0.0.1:PORT/403\" }}\nprepare = {{ cookies = true, steps = [{{ url = \"http://127.0.0.1:PORT/to?{url}\", redirects = 3 }}] }}"
        ));
        let output = world.program("run", &case, &[]);
        let said = text_of(&output.stderr);
        assert_eq!(
            (output.status.code(), world.service.others_hit()),
            (Some(77), Vec::new()),
            "{url}: {said}"
        );
        let output = world.program("run", &case, &["--authorize", host]);
        assert_eq!(world.service.others_hit(), [to.parse::<IpAddr>().unwrap()], "{url}: {output:?}");
    });
    // URLs in answers and messages.
    let urls = [
        ("ws://8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://0x8080808:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://127.0.0.1@8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://127.0.0.1%2523@8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://[::ffff:8.8.8.8]:PORT/", "::ffff:8.8.8.8", "8.8.8.8"),
        ("ws://[64:ff9b::8.8.8.8]:PORT/", "64:ff9b::808:808", "64:ff9b::808:808"),
        ("ws://public.test:PORT/", "public.test", "8.8.8.8"),
        ("ws://six.test:PORT/", "six.test", "2001:4860:4860::8888"),
        ("ws://169.254.169.254:PORT/latest", "169.254.169.254", "169.254.169.254"),
    ];
    each_with_a_world(&home, &urls, |world, (url, host, to)| {
        let by_step = step_at(&format!("http://127.0.0.1:PORT/says?{url}"), "");
        let by_message = near(&format!(
            "{no_token}\nconnect = {{ url = \"{{uri}}\" }}\nprepare = {{ when = \"once\", variables = {{ uri = \"ws://127.0.0.1:PORT/session?{url}\" }}, steps = [] }}\nsession = {{ on_message = [{{ contains = \"go\", save = {{ uri = \"/go\" }}, then = \"reconnect\" }}] }}"
        ));
        let steps_away = near(&format!(
            "{no_token}\nconnect = {{ url = \"ws://127.0.0.1:PORT/403\" }}\nprepare = {{ steps = [{{ url = \"http://127.0.0.1:PORT/says?{0}\", save = {{ uri = \"/uri\" }} }}, {{ url = \"{{uri}}\" }}] }}",
            url.replace("ws:", "http:")
        ));
        let step_named = step_at(&url.replace("ws:", "http:").replace("%2523", "%23"), "");
        for case in [&by_step, &by_message, &steps_away, &step_named] {
            let output = world.program("run", case, &[]);
            let text = world.text(case);
            let said = text_of(&output.stderr);
            assert_eq!(
                (output.status.code(), world.service.others_hit()),
                (Some(77), Vec::new()),
                "{text}: {said}"
            );
            let output = world.program("run", case, &["--authorize", host]);
            let hit = world.service.others_hit();
            assert_eq!(hit, [to.parse::<IpAddr>().unwrap()], "{text}: {output:?}");
        }
        let diagnosed = world.program("diagnose", &by_step, &[]);
        assert_eq!(world.service.others_hit(), Vec::<IpAddr>::new(), "{diagnosed:?}");
    });
}

pub(crate) fn through_a_proxy(world: &mut World) {
    let near_proxy = ", proxy = \"http://127.0.0.1:PORT\"";
    let far_proxies = [
        ("http://8.8.8.8:PORT", "8.8.8.8"),
        ("http://public.test:PORT", "public.test"),
        ("http://0x8.8.8.8:PORT", "8.8.8.8"),
    ];
    let plain =
        |proxy: &str| near(&format!("token = {{ grant = \"none\" }}\nconnect = {{ proxy = \"{proxy}\" }}"));
    let token = |proxy: &str| {
        near(&format!(
            "token = {{ client_id = \"c\", client_secret = \"s\", url = \"http://127.0.0.1:PORT/says?x\" }}\nconnect = {{ proxy = \"{proxy}\" }}"
        ))
    };
    for (proxy, host) in far_proxies {
        for case in [
            plain(proxy),
            token(proxy),
            step_at("http://127.0.0.1:PORT/says?x", &format!(", proxy = \"{proxy}\"")),
        ] {
            let output = world.program("run", &case, &[]);
            assert_eq!(
                (output.status.code(), world.service.others_hit()),
                (Some(77), Vec::new()),
                "{}",
                world.text(&case)
            );
            let output = world.program("run", &case, &["--authorize", host]);
            assert_ne!(output.status.code(), Some(77), "{}", world.text(&case));
            assert_eq!(
                world.service.others_hit(),
                ["8.8.8.8".parse::<IpAddr>().unwrap()],
                "{}",
                world.text(&case)
            );
        }
    }
    // A proxy that may be hit is not asked for what may not.
    let asked = [
        step_at("http://public.test:PORT/", near_proxy),
        step_at("http://8.8.8.8:PORT/", near_proxy),
        step_at("http://127.0.0.1:PORT/says?ws://public.test:PORT/", near_proxy),
    ];
    for case in &asked {
        let before = world.service.take().len();
        assert_eq!(before, 0);
        let output = world.program("run", case, &[]);
        assert_eq!(output.status.code(), Some(77), "{}: {output:?}", world.text(case));
        let asked_for = |came: &Came| {
            came.head.lines().next().is_some_and(|line| {
                line.contains("public.test:") && !line.contains("says") || line.contains("8.8.8.8")
            })
        };
        let came = world.service.take();
        assert!(!came.iter().any(asked_for), "{}: {came:?}", world.text(case));
        let output = world.program("run", case, &["--authorize", "public.test", "--authorize", "8.8.8.8"]);
        assert_ne!(output.status.code(), Some(77), "{}", world.text(case));
        assert!(world.service.take().iter().any(asked_for), "{}: {output:?}", world.text(case));
    }
}

/// A name that is free when the run begins, and then another's: each connection asks anew.
pub(crate) fn a_name_that_moves(world: &mut World, hosts: &Path) {
    let move_to = |address: &str| {
        let text = HOSTS.replace("127.0.0.1 moving.test", &format!("{address} moving.test"));
        // In place: the file is mounted where the system looks.
        fs::write(hosts, text).unwrap();
    };
    let mut case = to_url("ws://moving.test:PORT/");
    case.group.push_str("\nconnect = { dns_ttl = \"0s\" }");
    case.target.push_str("\n[health]\nmax_lag_p99 = \"10s\"");
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let came = Arc::clone(&world.service.came);
    std::thread::scope(|scope| {
        let mover = scope.spawn(move || {
            // Once the run is under way, or is over without having begun.
            while came.lock().unwrap().len() < 2 && receiver.try_recv().is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
            move_to("203.0.113.7");
        });
        let output = world.program(
            "run",
            &Case { target: case.target.clone(), group: case.group.clone() },
            &["--set", "groups.0.reconnect.max_attempts=100000"],
        );
        let _ = sender.send(());
        mover.join().unwrap();
        let came = world.service.take();
        let said = text_of(&output.stdout);
        assert_eq!(output.status.code(), Some(77), "{said} {}", text_of(&output.stderr));
        assert!(came.iter().any(|came| came.to.is_loopback()), "it had begun: {came:?}");
        assert!(came.iter().all(|came| !is_of_others(&came.to)), "{came:?}");
        assert!(said.contains("NOT AUTHORISED"), "{said}");
    });
    let output = world.program("run", &case, &["--authorize", "moving.test"]);
    assert_eq!(world.service.others_hit(), ["203.0.113.7".parse::<IpAddr>().unwrap()], "{output:?}");
}
