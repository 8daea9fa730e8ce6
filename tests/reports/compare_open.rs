//! What `resurge compare` cannot judge, and what it cannot compare: it says which, why, and what to type instead.

use std::fs;

use crate::compare::{Run, in_home, repeats, write_run};
use crate::support::output::{said, text};

#[test]
fn a_percentile_with_too_few_values_is_told_and_passes_no_strict_gate() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (name, seed) in [("old", 1), ("new", 2)] {
        for n in 0..3 {
            let wobble = f64::from(n) * 0.1;
            write_run(
                &home.join(name).join(format!("r{n}")),
                &Run { wobble, ..Run::default() },
                seed + 10 * n as u64,
            );
        }
    }
    let of = |more: &[&str]| {
        let output = in_home(home, &[&["compare", "old", "new"], more].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // Three runs of 300 reconnects.
    let why = "reconnect_latency.p99 of group|<b>: too few values: 900 and 900 of the 1,000 that it needs";
    let (code, told, _) = of(&["--gate"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with("UNCHANGED") && told.contains(&format!("not judged: {why}")), "{told}");
    assert!(told.contains("; 1 not judged"), "{told}");
    let (code, _, errors) = of(&["--gate", "--strict"]);
    assert_eq!((code, errors), (Some(112), format!("error: not judged: {why}\n")));
    let by = ["--decide-by", "reconnect_latency.p50", "--decide-by", "reconnect_latency.p99"];
    let (code, told, errors) = of(&[&["--gate"], &by[..]].concat());
    assert_eq!((code, errors), (Some(112), format!("error: not judged: {why}\n")));
    assert!(told.starts_with("INCONCLUSIVE"), "{told}");
    assert_eq!(of(&by).0, Some(0), "without a gate nothing fails");
    // What no run has a sample of cannot have been judged either.
    let (code, _, errors) =
        of(&["--gate", "--decide-by", "reconnect_latency.p50", "--decide-by", "message_latency.p50"]);
    assert_eq!(code, Some(112));
    assert!(errors.contains("not judged: message_latency.p50: no group has a sample of it"), "{errors}");
    let (code, _, errors) = of(&["--gate", "--decide-by", "reconnect_latency.max"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("a maximum is one value, and is never judged"), "{errors}");
    // Alone, there is nothing to gate by.
    let (code, _, errors) = of(&["--gate", "--decide-by", "reconnect_latency.p99"]);
    assert_eq!(code, Some(65));
    assert!(errors.contains(why) && errors.contains("nothing to gate by"), "{errors}");
    // Named by what it is of, it may be one of several; a maximum is then never missed.
    assert_eq!(of(&["--gate", "--decide-by", "reconnect_latency"]).0, Some(0));
    assert_eq!(of(&["--gate", "--strict", "--decide-by", "reconnect_latency"]).0, Some(112));
    let json: serde_json::Value = serde_json::from_str(&of(&["--format", "json"]).1).unwrap();
    let comparison = &json["comparisons"][0];
    assert_eq!(comparison["not_judged"], serde_json::json!([why]));
    let measures = comparison["measures"].as_array().unwrap();
    let p99 = measures.iter().find(|row| row["measure"] == "reconnect_latency.p99").unwrap();
    assert_eq!(
        (p99["verdict"].as_str(), p99["not_judged"].as_str(), p99["was_to_decide"].as_bool()),
        (Some("not_judged"), Some("too_few_values"), Some(true))
    );
    let markdown = of(&["--format", "markdown"]).1;
    assert!(markdown.contains("> **not judged:** reconnect\\_latency.p99"), "{markdown}");
}

/// The command that a message ends with, as the words behind `resurge`.
fn printed_command(errors: &str) -> Vec<String> {
    let line = errors.lines().find_map(|line| line.strip_prefix("    resurge ")).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn all_that_differs_is_told_at_once_with_a_command_that_works() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let scenario = Run::default().scenario + "[[groups]]\nname = \"g\"\n[groups.reconnect]\nbackoff = 1\n";
    write_run(&home.join("old"), &Run { scenario: scenario.clone(), ..Run::default() }, 1);
    let changed = scenario.replace("backoff = 1", "backoff = \"20s\"").replace("\"1s\"", "\"22s\"");
    write_run(&home.join("new"), &Run { scenario: changed, cores: 64, ..Run::default() }, 2);
    let refused = in_home(home, &["compare", "old", "new", "--decide-by", "reconnect_latency.p50", "--gate"]);
    assert_eq!(refused.status.code(), Some(65));
    let command = printed_command(&text(&refused.stderr));
    assert_eq!(
        command.join(" "),
        "compare old new --decide-by reconnect_latency.p50 --gate --allow groups.0.reconnect.backoff --allow host --allow target.idle_timeout"
    );
    let pasted = in_home(home, &command.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(pasted.status.code(), Some(0), "{}", said(&pasted));
}

#[test]
fn one_repeat_that_cannot_be_used_is_named_and_left_out_by_the_command() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run::default());
    fs::remove_dir_all(home.join("new/r2")).unwrap();
    write_run(&home.join("new/r2"), &Run { lag_us: 900_000, ..Run::default() }, 7);
    for (more, code) in [(&[][..], 65), (&["--gate"][..], 110)] {
        let refused = in_home(home, &[&["compare", "old", "new"], more].concat());
        let errors = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{errors}");
        assert!(errors.contains("new/r2 is not valid") && errors.contains("without new/r2:"), "{errors}");
        let command = printed_command(&errors);
        let expected = format!(
            "compare --baseline old --candidate new/r0 new/r1 new/r3 new/r4{}",
            more.iter().map(|word| format!(" {word}")).collect::<String>()
        );
        assert_eq!(command.join(" "), expected);
        let pasted = in_home(home, &command.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(pasted.status.code(), Some(0), "{}", said(&pasted));
    }
    let refused = in_home(home, &["baseline", "save", "new", "--name", "x"]);
    let command = printed_command(&text(&refused.stderr));
    assert_eq!(command.join(" "), "baseline save new/r0 new/r1 new/r3 new/r4 --name x");
    let pasted = in_home(home, &command.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(pasted.status.code(), Some(0), "{}", said(&pasted));
}

#[test]
fn what_is_less_than_the_floor_is_said_to_be() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run { factor: 0.02, ..Run::default() });
    repeats(home, "new", &Run { factor: 0.025, ..Run::default() });
    let told = text(&in_home(home, &["compare", "old", "new"]).stdout);
    let line = told.lines().find(|line| line.contains(" reconnect_latency.p50")).unwrap_or_default();
    assert!(line.contains("unchanged (below the floor of 1 ms)"), "{told}");
    // A share has its whole beside it, and what that is of.
    let line = told.lines().find(|line| line.starts_with("  handshake_403_rate")).unwrap_or_default();
    assert!(line.contains("0.0% of 1,800"), "{told}");
    assert!(told.contains("handshake_403_rate of answered handshakes"), "{told}");
}
