//! What is compared of exchanges, by name. It explains, unless it is asked to decide.
//!
//! In: the sides of a comparison. Out: a measure for each percentile of each exchange that any run has.

use std::collections::BTreeSet;

use super::measure::{MIN_RELATIVE, MIN_US, Measure, MinEffect, Quantity, percentile_name};
use super::repeat::RunSet;

/// What measures of exchanges begin with.
pub const EXCHANGE_LATENCY: &str = "exchange_latency";
/// The percentiles that are compared.
const PERCENTILES: [f64; 4] = [50.0, 95.0, 99.0, 100.0];

/// The measures of the exchanges that any of some sides has, as `exchange_latency{exchange:NAME}.p99`.
#[must_use]
pub fn exchange_measures<'s>(sets: impl IntoIterator<Item = &'s RunSet>) -> Vec<Measure> {
    let blocks = sets.into_iter().flat_map(|set| &set.repeats).flat_map(|repeat| &repeat.blocks);
    let names = blocks.flat_map(|block| &block.groups).flat_map(|group| group.exchanges.keys());
    let names: BTreeSet<&String> = names.collect();
    let of_name = |name: &String| {
        PERCENTILES.map(|percentile| Measure {
            name: format!("{EXCHANGE_LATENCY}{{exchange:{name}}}.{}", percentile_name(percentile)),
            quantity: Quantity::Exchange(percentile),
            exchange: Some(name.clone()),
            less_is_better: true,
            decides: false,
            min_effect: MinEffect { relative: MIN_RELATIVE, absolute: MIN_US },
        })
    };
    names.into_iter().flat_map(of_name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::buckets::Buckets;
    use super::super::comparison::{Settings, compare};
    use super::super::judge::Finding;
    use super::super::measure::decide_by;
    use super::super::synthetic::{Behaviour, synthetic_run};
    use super::*;

    /// Five repeats whose exchange takes so long, in microseconds.
    fn side(name: &str, us: u64) -> RunSet {
        let repeats = (0..5).map(|seed| {
            let mut repeat = synthetic_run(&Behaviour::default(), seed);
            for block in &mut repeat.blocks {
                let times = Buckets::new((0..200).map(|n| (us + (n * 7 + seed) % 40, 1)));
                block.groups[0].exchanges = BTreeMap::from([("sub".to_owned(), times)]);
            }
            repeat
        });
        RunSet { name: name.to_owned(), repeats: repeats.collect(), is_baseline: false }
    }

    #[test]
    fn an_exchange_explains_unless_it_is_asked_to_decide() {
        let (baseline, candidate) = (side("old", 2_000), side("new", 8_000));
        let mut settings = Settings::default();
        settings.measures.extend(exchange_measures([&baseline, &candidate]));
        let finding = |settings: &Settings| {
            let comparison = compare(&baseline, &candidate, settings);
            let row = comparison.rows.iter().find(|row| row.measure.name.ends_with("{exchange:sub}.p99"));
            let row = row.unwrap();
            (comparison.finding, row.measure.decides, row.finding)
        };
        let (overall, decides, own) = finding(&settings);
        assert_eq!((overall == Finding::Regressed, decides, own), (false, false, Finding::Regressed));
        decide_by(&mut settings.measures, &["exchange_latency{exchange:sub}".to_owned()]).unwrap();
        assert_eq!(finding(&settings), (Finding::Regressed, true, Finding::Regressed));
        let error =
            decide_by(&mut settings.measures, &["exchange_latency{exchange:x}".to_owned()]).unwrap_err();
        assert!(error.contains("exchange_latency{exchange:sub}"), "{error}");
        decide_by(&mut settings.measures, &["exchange_latency".to_owned()]).unwrap();
        assert!(finding(&settings).1);
    }
}
