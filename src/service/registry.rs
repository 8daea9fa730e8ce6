//! The tokens that the target issued, and what became of each.
//!
//! In: issues and invalidations. Out: where a token stands. Dead tokens are remembered, so that a refusal knows its true
//! cause; the oldest are forgotten first, and count as unknown from then on.

use std::collections::{HashMap, VecDeque};

use crate::clock::Moment;
use crate::random::{Purpose, Stream};
use crate::sample::Cause;

use super::client_key::ClientKey;

/// This many dead tokens are remembered at most.
pub(super) const MOST_DEAD: usize = 1_000_000;
/// So many are for each token that lived at once: a target's memory grows with its clients, not with time.
const DEAD_FOR_EACH: usize = 20;
/// And so many in any case.
const LEAST_DEAD: usize = 10_000;

/// This many tokens live at most, about 2 GB of them: whoever asks for more than that is no client that a target is for.
const MOST_LIVING: usize = 20_000_000;

/// The queue of the living is cleared of the dead when they outnumber the living by this.
const SLACK: usize = 64;

/// A token: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TokenId(u128);

impl TokenId {
    /// As it goes over the wire: 32 hexadecimal digits.
    pub(super) fn text(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The one that stands for a token that somebody else issued.
    pub(super) fn of_text(text: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        Self(digest.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// The token of that text. The text is compared exactly, so upper case is another token.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It opens a session.
    Good(TokenId),
    /// Never issued, or forgotten.
    Unknown,
    /// Invalidated.
    Stale,
    /// Its life is over.
    Expired,
    /// It lacks a scope.
    Insufficient,
}

/// A good token, or the cause of the refusal.
pub(super) fn cause_of(standing: Option<Standing>) -> Result<TokenId, Cause> {
    Err(match standing {
        Some(Standing::Good(token)) => return Ok(token),
        Some(Standing::Unknown) => Cause::UnknownToken,
        Some(Standing::Stale) => Cause::StaleToken,
        Some(Standing::Expired) => Cause::ExpiredToken,
        Some(Standing::Insufficient) => Cause::MissingScope,
        None => Cause::NoToken,
    })
}

#[derive(Debug, Clone, Copy)]
struct Record {
    expires: Moment,
    is_sufficient: bool,
    /// Whose it is; only where a rule looks at clients.
    client: Option<ClientKey>,
    is_invalidated: bool,
    /// It stands in the queue of the dead.
    is_dead: bool,
    /// Its life was made longer: it does not expire in the order of its issue.
    is_extended: bool,
    /// The family that it belongs to, where such are kept; 0: none.
    family: u32,
}

/// All tokens that are remembered.
#[derive(Debug)]
pub(super) struct TokenRegistry {
    draws: Stream,
    records: HashMap<TokenId, Record>,
    /// In the order of their issue, which is the order in which they expire; the dead are taken out now and then.
    by_issue: VecDeque<TokenId>,
    dead: VecDeque<TokenId>,
    most_dead: usize,
    /// The most that have lived at once.
    most_living: usize,
    /// The most that may.
    most_living_allowed: usize,
}

impl TokenRegistry {
    pub(super) fn new(seed: u64, most_dead: usize) -> Self {
        Self::of(Purpose::TargetToken, seed, most_dead)
    }

    /// A registry whose tokens are drawn for another purpose.
    pub(super) fn of(purpose: Purpose, seed: u64, most_dead: usize) -> Self {
        Self {
            draws: Stream::new(seed, purpose, 0),
            records: HashMap::new(),
            by_issue: VecDeque::new(),
            dead: VecDeque::new(),
            most_dead,
            most_living: 0,
            most_living_allowed: MOST_LIVING,
        }
    }

    /// Issues a token that lives until `expires`, which never lies before that of an earlier one.
    pub(super) fn issue(
        &mut self,
        now: Moment,
        expires: Moment,
        is_sufficient: bool,
        client: Option<ClientKey>,
    ) -> TokenId {
        let id = TokenId(self.draws.next_u128());
        self.adopt(id, now, expires, is_sufficient, client);
        id
    }

    /// Whether a token is remembered.
    pub(super) fn has(&self, id: TokenId) -> bool {
        self.records.contains_key(&id)
    }

    /// Takes in a token that lives until `expires`. One that expires earlier than one before it is remembered longer than need be.
    pub(super) fn adopt(
        &mut self,
        id: TokenId,
        now: Moment,
        expires: Moment,
        is_sufficient: bool,
        client: Option<ClientKey>,
    ) {
        self.bury_expired(now);
        let record = Record {
            expires,
            is_sufficient,
            client,
            is_invalidated: false,
            is_dead: false,
            is_extended: false,
            family: 0,
        };
        self.make_room();
        self.records.insert(id, record);
        self.by_issue.push_back(id);
        self.most_living = self.most_living.max(self.records.len() - self.dead.len());
    }

    /// Moves the records to a table that has room for another one, where theirs has none: one that loses as many as it gains fills up with
    /// traces of what it lost, and would become twice as large for them.
    fn make_room(&mut self) {
        let count = self.records.len();
        if count == self.records.capacity() {
            let mut roomier = HashMap::with_capacity(count + count / 4 + 1);
            roomier.extend(self.records.drain());
            self.records = roomier;
        }
    }

    /// Whether there is no room for another token.
    pub(super) fn is_full(&mut self, now: Moment) -> bool {
        if self.records.len() - self.dead.len() >= self.most_living_allowed {
            self.bury_expired(now);
        }
        self.records.len() - self.dead.len() >= self.most_living_allowed
    }

    /// A token belongs to this family.
    pub(super) fn join(&mut self, id: TokenId, family: u32) {
        if let Some(record) = self.records.get_mut(&id) {
            record.family = family;
        }
    }

    /// The family that a token belongs to; 0: none.
    pub(super) fn family_of(&self, id: TokenId) -> u32 {
        self.records.get(&id).map_or(0, |record| record.family)
    }

    /// Ends a token's life early.
    pub(super) fn invalidate(&mut self, id: TokenId) {
        if let Some(record) = self.records.get_mut(&id) {
            record.is_invalidated = true;
            self.bury(id);
        }
    }

    /// Makes the life of a living token longer.
    pub(super) fn extend(&mut self, id: TokenId, expires: Moment) {
        if let Some(record) = self.records.get_mut(&id).filter(|record| !record.is_dead) {
            record.expires = record.expires.max(expires);
            record.is_extended = true;
        }
    }

    /// Whether a token is good.
    pub(super) fn is_good(&self, now: Moment, id: TokenId) -> bool {
        self.records.get(&id).is_some_and(|record| now < record.expires && !record.is_invalidated)
    }

    /// The token of that text, if it was issued and is not forgotten.
    pub(super) fn find(&self, text: &str) -> Option<TokenId> {
        TokenId::read(text).filter(|id| self.records.contains_key(id))
    }

    /// The tokens that are good now, in no order.
    pub(super) fn living(&self, now: Moment) -> impl Iterator<Item = TokenId> + '_ {
        let is_good = move |record: &Record| now < record.expires && !record.is_invalidated;
        self.records.iter().filter(move |(_, record)| is_good(record)).map(|(id, _)| *id)
    }

    /// Whose token it is, where that is kept.
    pub(super) fn client_of(&self, id: TokenId) -> Option<ClientKey> {
        self.records.get(&id)?.client
    }

    /// When it expires; at once where it is not known any more.
    pub(super) fn expiry_of(&self, id: TokenId) -> Moment {
        self.records.get(&id).map_or(Moment::ZERO, |record| record.expires)
    }

    /// Where the token of that text stands.
    pub(super) fn look_up(&self, now: Moment, text: &str) -> Standing {
        TokenId::read(text).map_or(Standing::Unknown, |id| self.standing_of(now, id))
    }

    /// Where a token stands.
    pub(super) fn standing_of(&self, now: Moment, id: TokenId) -> Standing {
        match self.records.get(&id) {
            None => Standing::Unknown,
            // A token that is both is refused for its age in any case.
            Some(record) if now >= record.expires => Standing::Expired,
            Some(record) if record.is_invalidated => Standing::Stale,
            Some(record) if !record.is_sufficient => Standing::Insufficient,
            Some(_) => Standing::Good(id),
        }
    }

    /// Buries the tokens whose life is over.
    fn bury_expired(&mut self, now: Moment) {
        while let Some(&oldest) = self.by_issue.front() {
            match self.records.get_mut(&oldest) {
                Some(record) if !record.is_dead && record.is_extended => {
                    // To the end of the queue, once for each extension: those behind it are not to wait for it.
                    record.is_extended = false;
                    self.by_issue.rotate_left(1);
                }
                Some(record) if !record.is_dead && now < record.expires => break,
                _ => {
                    self.by_issue.pop_front();
                    self.bury(oldest);
                }
            }
        }
        let living = self.records.len() - self.dead.len();
        if self.by_issue.len() > 2 * living + SLACK {
            let records = &self.records;
            self.by_issue.retain(|id| records.get(id).is_some_and(|record| !record.is_dead));
        }
    }

    /// Puts a token among the dead, once, and forgets the oldest of them where there are too many.
    fn bury(&mut self, id: TokenId) {
        let Some(record) = self.records.get_mut(&id).filter(|record| !record.is_dead) else { return };
        record.is_dead = true;
        self.dead.push_back(id);
        let most = self.most_dead.min((DEAD_FOR_EACH * self.most_living).max(LEAST_DEAD));
        if self.dead.len() > most
            && let Some(oldest) = self.dead.pop_front()
        {
            self.records.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const LIFE: Duration = Duration::from_secs(10);

    #[test]
    fn a_token_is_looked_up_by_its_exact_text() {
        let mut registry = TokenRegistry::new(1, 10);
        let id = registry.issue(Moment::ZERO, Moment::ZERO + LIFE, true, None);
        let text = id.text();
        assert_eq!(registry.look_up(Moment::ZERO, &text), Standing::Good(id));
        for other in [text.to_uppercase(), format!("+{}", &text[1..]), text[1..].to_owned(), String::new()] {
            assert_eq!(registry.look_up(Moment::ZERO, &other), Standing::Unknown, "{other:?}");
        }
    }

    #[test]
    fn the_oldest_dead_are_forgotten_and_the_living_are_not() {
        let mut registry = TokenRegistry::new(1, 3);
        let alive = registry.issue(Moment::ZERO, Moment::ZERO + LIFE, true, None);
        let dead: Vec<TokenId> = (0..5)
            .map(|_| {
                let id = registry.issue(Moment::ZERO, Moment::ZERO + LIFE, true, None);
                registry.invalidate(id);
                registry.invalidate(id);
                id
            })
            .collect();
        let standings: Vec<Standing> =
            dead.iter().map(|id| registry.look_up(Moment::ZERO, &id.text())).collect();
        use Standing::{Stale, Unknown};
        assert_eq!(standings, [Unknown, Unknown, Stale, Stale, Stale]);
        assert_eq!(registry.look_up(Moment::ZERO, &alive.text()), Standing::Good(alive));
    }

    #[test]
    fn what_is_remembered_grows_with_those_that_live_and_not_with_time() {
        let mut registry = TokenRegistry::new(1, MOST_DEAD);
        let issue = |registry: &mut TokenRegistry| registry.issue(Moment::ZERO, Moment::NEVER, true, None);
        for _ in 0..3 * LEAST_DEAD {
            let id = issue(&mut registry);
            registry.invalidate(id);
        }
        assert_eq!(registry.dead.len(), LEAST_DEAD, "one at a time");
        let living: Vec<TokenId> = (0..1_000).map(|_| issue(&mut registry)).collect();
        for _ in 0..3 * DEAD_FOR_EACH * 1_000 {
            let id = issue(&mut registry);
            registry.invalidate(id);
        }
        assert_eq!(registry.dead.len(), DEAD_FOR_EACH * 1_001);
        assert!(living.iter().all(|id| registry.is_good(Moment::ZERO, *id)));
    }

    #[test]
    fn turnover_does_not_make_the_table_larger() {
        let mut registry = TokenRegistry::new(1, MOST_DEAD);
        let turn_over = |registry: &mut TokenRegistry, times: usize| {
            for _ in 0..times {
                let id = registry.issue(Moment::ZERO, Moment::NEVER, true, None);
                registry.invalidate(id);
            }
        };
        turn_over(&mut registry, LEAST_DEAD + 1);
        // Of the room in a table of 16,384 places, seven eighths are used.
        let most = 14_336;
        for _ in 0..100 {
            turn_over(&mut registry, LEAST_DEAD);
            assert!(registry.records.capacity() <= most, "{}", registry.records.capacity());
        }
        assert_eq!(registry.records.len(), LEAST_DEAD);
    }

    #[test]
    fn there_is_room_again_once_tokens_have_expired() {
        let mut registry = TokenRegistry { most_living_allowed: 3, ..TokenRegistry::new(1, MOST_DEAD) };
        let at = |s| Moment::ZERO + Duration::from_secs(s);
        for s in 0..3 {
            assert!(!registry.is_full(at(s)));
            registry.issue(at(s), at(s + 10), true, None);
        }
        assert!(registry.is_full(at(9)) && !registry.is_full(at(10)));
    }

    proptest! {
        /// Issue and invalidate at random: what is kept stays within its bound, and no dead token is ever good again.
        #[test]
        fn memory_is_bounded_and_the_dead_stay_dead(
            steps in prop::collection::vec((0_u8..4, 0_usize..50, 0_u64..3_000), 1..2_000),
        ) {
            let mut registry = TokenRegistry::new(9, 20);
            let mut now = Moment::ZERO;
            let mut issued: Vec<(TokenId, Moment, bool)> = Vec::new();
            for (what, which, pause_ms) in steps {
                now = now + Duration::from_millis(pause_ms / 100);
                let count = issued.len();
                if what < 2 || count == 0 {
                    issued.push((registry.issue(now, now + LIFE, true, None), now + LIFE, false));
                    let living = issued.iter().filter(|entry| !entry.2 && now < entry.1).count();
                    prop_assert!(registry.by_issue.len() <= 2 * living + SLACK + 1);
                } else {
                    let entry = &mut issued[count - 1 - which % count];
                    entry.2 = true;
                    registry.invalidate(entry.0);
                }
                prop_assert!(registry.dead.len() <= 20);
            }
            for (id, expires, invalidated) in issued {
                let standing = registry.look_up(now, &id.text());
                prop_assert_eq!(standing == Standing::Good(id), !invalidated && now < expires);
            }
        }
    }
}
