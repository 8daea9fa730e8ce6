//! Histograms in a baseline: of each bucket by how much its index grew, and the count.
//!
//! In: buckets and their precision. Out: numbers that are small where buckets lie close together; and the buckets again, unless a number cannot be.

use super::buckets::Buckets;

/// Packs.
pub(super) fn pack_buckets(buckets: &Buckets, precision: u8) -> Vec<u64> {
    let mut last = 0;
    let mut packed = Vec::with_capacity(2 * buckets.cells().len());
    for (lowest, count) in buckets.cells() {
        let index = index_of(*lowest, precision);
        packed.extend([index - last, *count]);
        last = index;
    }
    packed
}

/// Which bucket a value is in.
fn index_of(value: u64, precision: u8) -> u64 {
    let digits = u64::from(63 - value.max(1).leading_zeros());
    let shift = digits.saturating_sub(u64::from(precision));
    if shift == 0 { value } else { (shift << precision) + (value >> shift) }
}

/// A bucket's lowest value; `None` beyond what 64 bits hold.
fn lowest_of(index: u64, precision: u8) -> Option<u64> {
    let row = index >> precision;
    if row < 2 {
        return Some(index);
    }
    let shift = u32::try_from(row - 1).ok().filter(|shift| *shift < 50)?;
    Some(((index & ((1 << precision) - 1)) + (1 << precision)) << shift)
}

/// Unpacks; `None` where a number cannot be.
pub(super) fn unpack_buckets(packed: &[u64], precision: u8) -> Option<Buckets> {
    let mut index: u64 = 0;
    let cells: Option<Vec<(u64, u64)>> = packed
        .chunks(2)
        .map(|pair| {
            let [step, count] = pair else { return None };
            index = index.checked_add(*step)?;
            (*count < 1 << 48).then_some((lowest_of(index, precision)?, *count))
        })
        .collect();
    cells.map(Buckets::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_read_back(cells in prop::collection::vec((0_u32..36, any::<u64>(), 1_u64..9), 0..40), precision in 1_u8..=10) {
            let buckets = Buckets::new(cells.iter().map(|(bits, n, count)| (n % (1 << bits), *count))).coarsened(precision);
            prop_assert_eq!(unpack_buckets(&pack_buckets(&buckets, precision), precision), Some(buckets));
        }
    }
}
