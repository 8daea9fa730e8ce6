//! What bad input is told, and what help there is.

use std::fs;
use std::path::Path;

use crate::runs::run_with;
use crate::support::output::text;
use crate::support::program::resurge;

#[test]
fn bad_input_is_told_with_the_right_code() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let smoke = "scenarios/smoke.toml";
    let empty = write("empty.toml", "");
    let unset = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(smoke)).unwrap();
    let unset = write("unset.toml", &unset.replace("\"demo-secret\"", "{ env = \"RESURGE_TEST_UNSET\" }"));
    // (scenario, more arguments, code, part of the message)
    let rows: Vec<(&str, Vec<&str>, i32, &str)> = vec![
        ("no-such.toml", vec![], 104, "cannot read the scenario no-such.toml"),
        (&empty, vec![], 104, "the scenario has no `duration`"),
        (&unset, vec![], 104, "the environment variable RESURGE_TEST_UNSET is not set"),
        (smoke, vec!["--set", "groups.0.clients=many"], 104, "a whole number from 1"),
        (smoke, vec!["--set", "groups.0.clonts=1"], 104, "did you mean `clients`?"),
        (smoke, vec!["--set", "groups.0.clients=0"], 104, "is 0"),
        (smoke, vec!["--set", "duration=-5s"], 104, "a duration cannot be negative"),
        (smoke, vec!["--set", "duration=99999999999h"], 104, "at most 10 years"),
        (smoke, vec!["--set", "thresholds.reconnect_latency=[\"p(99) ~ 1s\"]"], 104, "no usable expression"),
        (smoke, vec!["--set", "groups.0.clients=90000"], 110, "ulimit -n"),
        (smoke, vec!["--set", "nonsense"], 2, "KEY=VALUE"),
        (smoke, vec!["--sett", "x=1"], 2, "--set"),
    ];
    for (scenario, more, code, part) in rows {
        let run = run_with(scenario, &more);
        assert_eq!(run.code(), code, "{scenario} {more:?}: {}{}", run.stdout(), run.stderr());
        assert!(run.stderr().contains(part), "{part}\n{}", run.stderr());
        assert!(!run.stderr().contains("panicked") && !run.folder.exists());
    }
    let exists = resurge().args(["run", smoke, "--out"]).arg(home.path()).output().unwrap();
    assert_eq!(exists.status.code(), Some(2));
    assert!(text(&exists.stderr).contains("is there already"));
    let unwritable = resurge().args(["run", smoke, "--out", "/proc/nowhere/run"]).output().unwrap();
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(text(&unwritable.stderr).contains("cannot make the run folder"));
    let nothing = resurge().args(["report", "no-such-run"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(65));
}

#[test]
fn every_command_helps_with_an_example() {
    for command in ["run", "serve", "check", "report", "schema", "completions"] {
        let output = resurge().args([command, "--help"]).output().unwrap();
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("Example"), "{command}: {help}");
    }
    let output =
        resurge().args(["check", "scenarios/smoke.toml", "scenarios/idle-reconnect.toml"]).output().unwrap();
    assert!(output.status.success() && text(&output.stdout).contains("needs at most"));
}
