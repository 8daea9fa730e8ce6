//! When sessions began and when they ended: a group's Lexis diagram, in bins of 100 ms.
//!
//! In: what was told of clients' lives. Out: sessions by the bins in which they began and ended. What it takes grows with the bins that differ, not with
//! sessions.
//!
//! Source: Keiding 1990, Phil. Trans. R. Soc. Lond. A 332, 487.

use std::collections::BTreeMap;

use crate::record::lives::{Ends, Lives};

/// Sessions by the bins in which they began and ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lexis {
    began: BTreeMap<u32, u64>,
    /// In the order of their ends.
    ended: Vec<Ended>,
    /// `[bin]`: how many of `ended` are before that bin.
    before: Vec<usize>,
}

/// Sessions that ended in one bin, and had begun in one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// The bin of their ends.
    pub(super) end: u32,
    /// That in which they had begun.
    pub(super) began: u32,
    /// Ended by no wish of the client's, and by no storm of the scenario's.
    pub(super) lost: u64,
    /// Of those, how many by silence.
    pub(super) silent: u64,
    /// Ended in another way.
    pub(super) otherwise: u64,
}

impl Ended {
    pub(super) const fn all(self) -> u64 {
        self.lost.saturating_add(self.otherwise)
    }
}

/// Makes a diagram.
#[derive(Debug, Clone, Default)]
pub struct LexisBuilder {
    began: BTreeMap<u32, i64>,
    ended: Vec<((u32, u32), Ends)>,
}

impl LexisBuilder {
    /// Takes in what was told in an interval.
    pub fn add(&mut self, lives: &Lives) {
        for (bin, n) in &lives.began {
            *self.began.entry(*bin).or_default() += n;
        }
        self.ended.extend(lives.ended.iter().map(|(bins, ends)| (*bins, *ends)));
    }

    /// The diagram of the run's first `bins` bins: what is told of later ones is left out.
    #[must_use]
    pub fn build(mut self, bins: u32) -> Lexis {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let began = self.began.into_iter().filter(|(bin, n)| *n > 0 && *bin < bins);
        let began: BTreeMap<u32, u64> = began.map(|(bin, n)| (bin, count(n))).collect();
        self.ended.sort_unstable_by_key(|(bins, _)| *bins);
        let mut ended: Vec<Ended> = Vec::with_capacity(self.ended.len());
        for ((end, began), ends) in
            self.ended.into_iter().filter(|((end, began), _)| began <= end && *end < bins)
        {
            let (lost, silent, otherwise) = (count(ends.lost), count(ends.silent), count(ends.otherwise));
            let new = Ended { end, began, lost, silent, otherwise };
            match ended.last_mut().filter(|last| (last.end, last.began) == (end, began)) {
                Some(last) => {
                    last.lost += new.lost;
                    last.silent += new.silent;
                    last.otherwise += new.otherwise;
                }
                None => ended.push(new),
            }
        }
        let last = began.last_key_value().map(|(bin, _)| *bin);
        let last = last.into_iter().chain(ended.last().map(|ended| ended.end)).max();
        let bins = last.map_or(0, |last| last + 1);
        let before = (0..=bins).map(|bin| ended.partition_point(|ended| ended.end < bin)).collect();
        Lexis { began, ended, before }
    }
}

impl Lexis {
    /// How many bins there are, from the run's start to the last in which something happened.
    pub(super) fn bins(&self) -> u32 {
        u32::try_from(self.before.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// By bin, ascending: how many sessions began.
    pub(super) const fn began(&self) -> &BTreeMap<u32, u64> {
        &self.began
    }

    /// The ends in a bin, by the bin of the beginning.
    pub(super) fn ended_in(&self, bin: u32) -> &[Ended] {
        let bin = bin as usize;
        match (self.before.get(bin), self.before.get(bin + 1)) {
            (Some(from), Some(to)) => &self.ended[*from..*to],
            // Nothing happened any more.
            _ => &[],
        }
    }

    /// All ends: by the bin of the end, that of the beginning.
    pub(super) fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// `[bin]`: how many were lost in it.
    pub(super) fn lost(&self) -> Vec<u64> {
        let mut lost = vec![0; self.bins() as usize];
        self.ended.iter().for_each(|ended| lost[ended.end as usize] += ended.lost);
        lost
    }
}

/// Sessions at risk in a bin.
#[derive(Debug, Clone, Default)]
pub(super) struct AtRisk {
    /// By the bin in which they began.
    pub(super) by_began: BTreeMap<u32, u64>,
    /// All of them.
    pub(super) all: u64,
}

impl AtRisk {
    /// Those that began in a bin are at risk from then on.
    pub(super) fn begin_in(&mut self, lexis: &Lexis, bin: u32) {
        if let Some(n) = lexis.began.get(&bin) {
            *self.by_began.entry(bin).or_default() += n;
            self.all += n;
        }
    }

    /// Those that ended in a bin are not at risk any more.
    pub(super) fn end_in(&mut self, lexis: &Lexis, bin: u32) {
        for ended in lexis.ended_in(bin) {
            if let Some(left) = self.by_began.get_mut(&ended.began) {
                let gone = ended.all().min(*left);
                *left -= gone;
                self.all -= gone;
                if *left == 0 {
                    self.by_began.remove(&ended.began);
                }
            }
        }
    }
}

/// Calls `look` for each bin with the sessions that are at risk in it.
pub(super) fn each_bin(lexis: &Lexis, mut look: impl FnMut(u32, &AtRisk)) {
    let mut at_risk = AtRisk::default();
    for bin in 0..lexis.bins() {
        at_risk.begin_in(lexis, bin);
        look(bin, &at_risk);
        at_risk.end_in(lexis, bin);
    }
}
