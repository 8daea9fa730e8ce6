//! A curve in a few characters.
//!
//! In: a recovery curve. Out: block characters: the share that is back, over the logarithm of the time since.

use super::recovery::RecoveryCurve;

/// An eighth to the whole of a character's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a curve.
const WIDTH: u32 = 20;

/// The curve from when the first was back to when the last was; only a curve that everybody came back on reaches the full height. Empty
/// where nobody came back.
pub(super) fn recovery_sparkline(curve: &RecoveryCurve) -> String {
    let steps = curve.steps();
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return String::new() };
    let (first, last) = (first.time_us.max(1) as f64, last.time_us.max(1) as f64);
    let back_at = |time_us: f64| {
        let after = steps.partition_point(|step| (step.time_us as f64) <= time_us);
        after.checked_sub(1).map_or(0.0, |at| steps[at].share)
    };
    (0..WIDTH)
        .map(|column| {
            let at = f64::from(column) / f64::from(WIDTH - 1);
            // The last column is the end, whatever a double makes of the power.
            let time_us = if column + 1 == WIDTH { last } else { first * (last / first).powf(at) };
            block(back_at(time_us))
        })
        .collect()
}

/// The block of a share: the lowest is for next to none, the full one for all alone.
fn block(share: f64) -> char {
    let top = BLOCKS.len() - 1;
    if share >= 1.0 {
        return BLOCKS[top];
    }
    let level = (share * top as f64) as usize;
    BLOCKS[level.min(top - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Latencies;

    fn curve(disconnects: u64, back_us: impl IntoIterator<Item = u64>) -> RecoveryCurve {
        let mut back = Latencies::new();
        back_us.into_iter().for_each(|us| back.record_us(us));
        RecoveryCurve { group: None, storm: None, disconnects, back, away: Latencies::new() }
    }

    #[test]
    fn a_curve_rises_to_the_share_that_came_back() {
        for (disconnects, back, expected) in [
            (0, vec![], ""),
            (5, vec![], ""),
            (1, vec![0], "████████████████████"),
            (2, vec![1_000], "▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄"),
            (100, (1..=100).map(|n| n * 1_000).collect(), "▁▁▁▁▁▁▁▁▁▁▁▁▂▂▃▃▄▅▆█"),
            (200, (1..=100).map(|n| n * 1_000).collect(), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▃▃▄"),
            (1_000_000, (1..=999).map(|n| n * 1_000).collect(), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁"),
        ] {
            assert_eq!(
                recovery_sparkline(&curve(disconnects, back.clone())),
                expected,
                "{disconnects} {}",
                back.len()
            );
        }
    }

    #[test]
    fn only_everybody_is_the_full_height() {
        assert_eq!([block(0.999), block(1.0), block(0.0)], ['▇', '█', '▁']);
    }
}
