//! Which measures there are, which decide, and from which difference on they matter.

use super::*;

fn of(name: &str, choices: &[&str]) -> MinEffect {
    let mut all = measures();
    let choices: Vec<_> = choices.iter().map(|text| parse_min_effect(text).unwrap()).collect();
    apply_min_effects(&mut all, &choices);
    all.iter().find(|measure| measure.name == name).unwrap().min_effect
}

#[test]
fn least_effects_are_settable_by_measure_and_by_metric() {
    let rows: [(&str, &[&str], f64, f64); 12] = [
        ("reconnect_latency.p99", &[], 0.05, 1_000.0),
        ("reconnect_latency.p99", &["reconnect_latency.p99=10%,2ms"], 0.10, 2_000.0),
        ("reconnect_latency.p50", &["reconnect_latency=500us"], 0.05, 500.0),
        ("reconnect_latency.p99", &["reconnect_latency=1%", "reconnect_latency.p99=20%"], 0.20, 1_000.0),
        ("handshake_403_rate", &["handshake_403_rate=2%"], 0.0, 0.02),
        ("reconnects_per_s", &["reconnects_per_s=3%"], 0.03, 0.0),
        ("availability", &[], 0.05, 0.001),
        ("availability", &["availability=0.2%"], 0.0, 0.002),
        ("outage_cost", &["outage_cost=10%,50"], 0.10, 50.0),
        ("outages", &["outages=2"], 0.05, 2.0),
        ("outage_2.recovery_p95", &["outage_2=20%,3s"], 0.20, 3e6),
        // What is a time is no cost.
        ("outage_2.cost", &["outage_2=20%,3s"], 0.20, 1.0),
    ];
    for (name, choices, relative, absolute) in rows {
        assert_eq!(of(name, choices), MinEffect { relative, absolute }, "{name} {choices:?}");
    }
    let wrong = [
        "x",
        "nothing=5%",
        "reconnect_latency.p99=fast",
        "reconnects_per_s=2ms",
        "reconnect=5%",
        "outage_cost=-1",
        "outage_cost=3s",
        "outage_9=5%",
    ];
    for wrong in wrong {
        assert!(parse_min_effect(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn both_parts_of_a_least_effect_must_be_reached() {
    let effect = MinEffect { relative: 0.05, absolute: 1_000.0 };
    assert_eq!([2_000.0, 20_000.0, 100_000.0].map(|base| effect.from(base)), [1_000.0, 1_000.0, 5_000.0]);
}

#[test]
fn what_decides_can_be_chosen() {
    let mut all = measures();
    decide_by(&mut all, &["reconnect_latency.p99".into(), "handshake_403_rate".into()]).unwrap();
    assert_eq!(all.iter().filter(|measure| measure.decides).count(), 2);
    assert!(decide_by(&mut all, &["p99".into()]).is_err());
    decide_by(&mut all, &["outage_1".into(), "availability".into()]).unwrap();
    let deciding = all.iter().filter(|measure| measure.decides).map(|measure| measure.name.as_str());
    let expected =
        ["availability", "outage_1.recovery_p50", "outage_1.recovery_p95", "outage_1.recovery_max"];
    assert_eq!(deciding.take(4).collect::<Vec<_>>(), expected);
    let names: Vec<String> = measures().into_iter().map(|measure| measure.name).collect();
    assert!(names.contains(&"reconnect_latency.p99_9".to_owned()), "{names:?}");
}
