//! Tests of thresholds on exchanges and streams: which names there are, the groups say.

use super::tests::{SMALL, load_text};

/// A group with an exchange and a stream, and a threshold.
fn talking(threshold: &str) -> String {
    let talk = "[[groups.session.say]]\nname = \"subscribe\"\ntext = \"{counter}\"\nreply = { starts_with = \"1\" }\n\
                [[groups.session.streams]]\nname = \"ticks\"\nstarts_with = \"{\"\nsequence = \"/seq\"\n";
    format!("{SMALL}{talk}[thresholds]\n{threshold}\n")
}

#[test]
fn thresholds_name_exchanges_and_streams() {
    for threshold in [
        r#""exchange_latency{exchange:subscribe}" = ["p(99) < 20ms", { expr = "max < 1s", abort_on_fail = true }]"#,
        r#""exchange_failure_rate{ group: g , exchange: subscribe }" = "rate < 1%""#,
        r#""stream_missed{stream:ticks,group:g}" = "count == 0""#,
        r#"exchange_sent = "rate > 5/s""#,
        r#"blind_time = "p(95) < 5s""#,
    ] {
        let loaded = load_text(&talking(threshold), &[]);
        assert!(loaded.is_ok(), "{threshold}: {:?}", loaded.err());
    }
}

#[test]
fn names_that_there_are_not_are_faults() {
    for (threshold, part) in [
        (r#""exchange_latency{exchange:subscrbe}" = "max < 1s""#, "did you mean \"subscribe\"?"),
        (r#""exchange_latency{exchange:something}" = "max < 1s""#, "there are subscribe"),
        (r#""stream_late{stream:news}" = "count == 0""#, "there is no stream \"news\""),
        (r#""exchange_ok{group:h,exchange:subscribe}" = "count > 0""#, "there is no group \"h\""),
        (r#""exchange_latency{stream:ticks}" = "max < 1s""#, "a selector is"),
        (r#""exchange_latency{exchange:subscribe}" = "max < 5""#, "duration"),
        (r#"exchange_latncy = "max < 5s""#, "did you mean `exchange_latency`?"),
    ] {
        let error = load_text(&talking(threshold), &[]).expect_err(threshold).to_string();
        assert!(error.contains(part), "{threshold}: {error}");
    }
    for (threshold, part) in [
        (r#""exchange_latency{exchange:subscribe}" = "max < 1s""#, "there is no exchange to look at"),
        (r#"blind_time = "max < 1s""#, "[[groups.session.streams]]"),
    ] {
        let error = load_text(&format!("{SMALL}[thresholds]\n{threshold}\n"), &[]).expect_err(threshold);
        assert!(error.to_string().contains(part), "{threshold}: {error}");
    }
    // Where a group has a fault of its own, which names there are is not known.
    let text = talking(r#"exchange_timeouts = "count == 0""#);
    let error = load_text(&text, &[("groups.0.clients", "3e9")]).expect_err("a fault").to_string();
    assert!(!error.contains("there is no exchange"), "{error}");
}
