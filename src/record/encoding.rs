//! A histogram's bytes: HdrHistogram's V2 encoding in the one setting of the project.
//!
//! In: bytes of a file that may be damaged. Out: the values that they hold, checked before they are believed.

/// Significant digits of every value.
pub(super) const DIGITS: u8 = 3;
/// The largest value, 24 h in microseconds.
pub(super) const MAX_US: u64 = 24 * 60 * 60 * 1_000_000;

/// More than was ever counted in one interval; beyond it, sums over a run could overflow.
pub(super) const MAX_COUNT: u64 = 1 << 40;
/// More than was ever counted; sums over every key and group of such counts still fit.
const MOST: u64 = 1 << 53;

/// Adds a count that may come from a file that somebody made.
pub(super) const fn add_count(sum: &mut u64, n: u64) {
    let more = sum.saturating_add(n);
    *sum = if more < MOST { more } else { MOST };
}
/// Bytes before the counts in HdrHistogram's V2 encoding.
const V2_HEADER: usize = 40;
const V2_COOKIE: u64 = 0x1c84_9313;
/// With three digits from 1: 2,048 buckets of width 1, then rows of 1,024, each twice as wide as those of the row before.
const ROW_BITS: u32 = 10;

/// Bytes that are no histogram of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a histogram's bytes cannot be read")]
pub struct HistogramError;

/// The values of a histogram's V2 encoding: each bucket's lowest, in microseconds, and how many are in it.
///
/// # Errors
/// [`HistogramError`] when the bytes are none, or of another setting than ours. Nothing is allocated on a promise of theirs.
pub(super) fn packed_counts(bytes: &[u8]) -> Result<Vec<(u64, u64)>, HistogramError> {
    check_header(bytes)?;
    let mut found = Vec::new();
    let (mut total, mut index) = (0_u64, 0_u64);
    let mut at = V2_HEADER;
    while at < bytes.len() {
        let (number, next) = read_varint(bytes, at).ok_or(HistogramError)?;
        at = next;
        // Zig-zag: a number below zero skips that many empty buckets, another one is a count.
        let signed = ((number >> 1) as i64) ^ -((number & 1) as i64);
        if signed < 0 {
            index = index.saturating_add(signed.unsigned_abs());
            continue;
        }
        let us = bucket_start(index).filter(|&us| us <= MAX_US).ok_or(HistogramError)?;
        let count = signed.unsigned_abs();
        total = total.saturating_add(count);
        if total > MAX_COUNT {
            return Err(HistogramError);
        }
        if count > 0 {
            found.push((us, count));
        }
        index += 1;
    }
    Ok(found)
}

fn check_header(bytes: &[u8]) -> Result<(), HistogramError> {
    let header = bytes.get(..V2_HEADER).ok_or(HistogramError)?;
    let number = |range: std::ops::Range<usize>| header[range].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let is_ours = number(0..4) == V2_COOKIE
        && number(4..8) == (bytes.len() - V2_HEADER) as u64
        && number(8..12) == 0
        && number(12..16) == u64::from(DIGITS)
        && number(16..24) == 1
        && number(32..40) == 1.0_f64.to_bits();
    if is_ours { Ok(()) } else { Err(HistogramError) }
}

/// Reads a LEB128-64b9B number: 7 bits a byte, but for a ninth byte, which holds 8. Answers with where the next one begins.
fn read_varint(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for step in 0..8 {
        let byte = *bytes.get(start + step)?;
        value |= u64::from(byte & 0x7f) << (7 * step);
        if byte & 0x80 == 0 {
            return Some((value, start + step + 1));
        }
    }
    Some((value | u64::from(*bytes.get(start + 8)?) << 56, start + 9))
}

/// The lowest value of the bucket at `index`; `None` beyond what 64 bits hold.
fn bucket_start(index: u64) -> Option<u64> {
    let row = index >> ROW_BITS;
    if row < 2 {
        return Some(index);
    }
    let shift = u32::try_from(row - 1).ok().filter(|shift| *shift < 63 - ROW_BITS)?;
    Some(((index & ((1 << ROW_BITS) - 1)) + (1 << ROW_BITS)) << shift)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    use super::*;
    use crate::record::Latencies;

    fn bytes_of(values: &[u64]) -> Vec<u8> {
        let mut histogram = Latencies::new();
        values.iter().for_each(|value| histogram.record_us(*value));
        histogram.to_bytes()
    }

    /// An encoding with a valid header around `counts`.
    fn around(counts: &[u8]) -> Vec<u8> {
        let mut bytes = bytes_of(&[])[..V2_HEADER].to_vec();
        bytes[4..8].copy_from_slice(&u32::try_from(counts.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(counts);
        bytes
    }

    #[test]
    fn what_cannot_be_is_refused_without_a_panic() {
        let mut huge_promise = bytes_of(&[5]);
        huge_promise[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut two_digits = bytes_of(&[5]);
        two_digits[15] = 2;
        let rows: [(&str, Vec<u8>); 6] = [
            ("nothing", Vec::new()),
            ("a length that is not there", huge_promise),
            ("two digits", two_digits),
            ("a number cut off", around(&[0x80])),
            (
                "the least of all numbers, whose negative does not exist",
                around(&[&[0xff; 9][..], &[2]].concat()),
            ),
            ("more than can be counted", around(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ];
        for (what, bytes) in rows {
            assert_eq!(packed_counts(&bytes), Err(HistogramError), "{what}");
            assert_eq!(Latencies::from_bytes(&bytes), Err(HistogramError), "{what}");
        }
        assert_eq!(packed_counts(&around(&[0, 4])), Ok(vec![(1, 2)]));
    }

    /// Values over the whole range, short ones as likely as long ones.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0_u32..37, any::<u64>()).prop_map(|(bits, n)| n % (1 << bits)), 0..60)
    }

    proptest! {
        #[test]
        fn our_reader_agrees_with_the_library(values in values()) {
            let bytes = bytes_of(&values);
            let ours = Latencies::from_bytes(&bytes).unwrap();
            let theirs: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            prop_assert_eq!(ours.count(), theirs.len());
            prop_assert_eq!((ours.min_us(), ours.max_us()), (theirs.min(), theirs.max()));
            prop_assert!((ours.mean_us() - theirs.mean()).abs() < 1e-6);
            for percentile in [1.0, 50.0, 90.0, 99.0, 99.9] {
                prop_assert_eq!(ours.percentile_us(percentile), theirs.value_at_quantile((percentile / 100.0_f64).next_down()));
            }
            prop_assert_eq!(ours.to_bytes().len(), bytes.len());
        }

        #[test]
        fn no_damage_makes_it_panic(values in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = bytes_of(&values);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(histogram) = Latencies::from_bytes(&bytes) {
                prop_assert!(histogram.count() <= MAX_COUNT);
                prop_assert!(histogram.max_us() >= histogram.percentile_us(50.0));
            }
            bytes.truncate(at);
            prop_assert!(Latencies::from_bytes(&bytes).is_err());
        }

        #[test]
        fn no_counts_make_it_panic(counts in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(histogram) = Latencies::from_bytes(&around(&counts)) {
                prop_assert!(histogram.count() <= MAX_COUNT);
            }
        }
    }
}
