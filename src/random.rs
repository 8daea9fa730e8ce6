//! Randomness: streams that depend on nothing but the seed and who draws.
//!
//! In: the scenario's seed, a purpose and a number (the client's). Out: a stream of draws that is the same on every
//! machine, in every version and for every number of shards. A stream keeps only its position (24 bytes), not
//! a generator's buffer, because there is one for each client.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is drawn for. Streams of different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A virtual client's lifecycle: backoff jitter.
    Lifecycle,
    /// Which clients a storm strikes.
    Storm,
    /// The delays of the target.
    TargetDelay,
    /// Which sessions a storm at the target strikes.
    TargetStorm,
    /// The target's tokens.
    TargetToken,
    /// Which requests a fault of the target strikes, and how long it delays them.
    TargetFault,
    /// The target's tickets.
    TargetTicket,
    /// The target's refresh tokens.
    TargetRefresh,
    /// Which blocks of intervals a resample of a run takes.
    Bootstrap,
    /// How long the target works on a request.
    TargetCapacity,
    /// What the stages of a connection take in virtual time, and what goes wrong there.
    Network,
    /// When the clients of a group come.
    Arrivals,
    /// How long they stay.
    Stays,
    /// What clients say on their sessions.
    Saying,
    /// The traces of attempts.
    Trace,
}

/// Something that draws uniformly from [0, 1).
pub trait Random {
    /// The next draw, uniform in [0, 1).
    fn next_unit(&mut self) -> f64;

    /// The next draw from the standard normal distribution (Box and Muller 1958).
    fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next_unit()).cos()
    }
}

/// A stream of random draws (ChaCha8, RFC 8439's core with 8 rounds), addressed by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
    stream: u64,
    taken: u64,
}

impl Draws {
    /// The stream of `number` for `purpose` under `seed`.
    #[must_use]
    pub const fn new(seed: u64, purpose: Purpose, number: u32) -> Self {
        Self { seed, stream: ((purpose as u64) << 32) | number as u64, taken: 0 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [drawn] = self.next_words();
        drawn
    }

    /// The next 128 random bits: two draws of 64, the first one above the second.
    pub fn next_u128(&mut self) -> u128 {
        let [high, low] = self.next_words();
        u128::from(high) << 64 | u128::from(low)
    }

    /// The next draws. To find the position costs more than a draw from there.
    fn next_words<const N: usize>(&mut self) -> [u64; N] {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(self.stream);
        generator.set_word_pos(u128::from(self.taken) * 2);
        self.taken += N as u64;
        std::array::from_fn(|_| generator.next_u64())
    }

    /// The next draw, uniform in [0, 1).
    pub fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The draw that belongs to `place`, uniform in [0, 1): the same whenever it is asked for, and none of those that come one after the other.
    #[must_use]
    pub fn unit_of(&self, place: u64) -> f64 {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(self.stream);
        generator.set_word_pos((1 << 67) + u128::from(place) * 2);
        (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The 128 bits that belong to `place`, which has none of its neighbours' in it; otherwise as [`Self::unit_of`].
    #[must_use]
    pub fn u128_of(&self, place: u64) -> u128 {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(self.stream);
        generator.set_word_pos((1 << 67) + u128::from(place) * 4);
        u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64())
    }

    /// The next draw, a duration uniform in [low, high); `low` when the range is empty.
    pub fn next_duration(&mut self, low: Duration, high: Duration) -> Duration {
        let unit = self.next_unit();
        low + high.saturating_sub(low).mul_f64(unit)
    }

    /// The next draw from the standard normal distribution.
    pub fn next_normal(&mut self) -> f64 {
        Random::next_normal(self)
    }
}

impl Random for Draws {
    fn next_unit(&mut self) -> f64 {
        Self::next_unit(self)
    }
}

/// The same stream with its generator kept (hundreds of bytes): for the few who draw often. It gives what [`Draws`] gives.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `number` for `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, number: u32) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(Draws::new(seed, purpose, number).stream);
        Self(generator)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next 128 random bits: two draws of 64, the first one above the second.
    pub fn next_u128(&mut self) -> u128 {
        let high = self.next_u64();
        u128::from(high) << 64 | u128::from(self.next_u64())
    }
}

impl Random for Stream {
    fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_purpose_and_number() {
        let draw = |seed, purpose, number| {
            let mut draws = Draws::new(seed, purpose, number);
            [draws.next_u64(), draws.next_u64(), draws.next_u64()]
        };
        let one = draw(7, Purpose::Lifecycle, 1);
        assert_eq!(one, draw(7, Purpose::Lifecycle, 1));
        assert_ne!(one, draw(8, Purpose::Lifecycle, 1));
        assert_ne!(one, draw(7, Purpose::Storm, 1));
        assert_ne!(one, draw(7, Purpose::Lifecycle, 2));
        assert_ne!(one[0], one[1]);
    }

    #[test]
    fn the_stream_never_changes_between_versions() {
        let mut draws = Draws::new(42, Purpose::Lifecycle, 0);
        let first = [draws.next_u64(), draws.next_u64()];
        let mut whole = ChaCha8Rng::seed_from_u64(42);
        assert_eq!(first, [whole.next_u64(), whole.next_u64()], "position is as if read in one go");
        // Across the end of what the generator makes at once.
        for _ in 0..40 {
            let both = u128::from(whole.next_u64()) << 64 | u128::from(whole.next_u64());
            assert_eq!(draws.next_u128(), both);
        }
    }

    #[test]
    fn the_draw_of_a_place_is_always_the_same_and_takes_none_of_the_others() {
        let mut draws = Draws::new(42, Purpose::Lifecycle, 0);
        let (of_one, of_most) = (draws.unit_of(1), draws.unit_of(u64::MAX));
        let first = draws.next_unit();
        assert_eq!((draws.unit_of(1), draws.unit_of(u64::MAX)), (of_one, of_most));
        assert!(of_one != of_most && of_one != first && (0.0..1.0).contains(&of_one));
        let mean = (0..20_000).map(|place| draws.unit_of(place)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "mean: {mean}");
    }

    #[test]
    fn a_kept_generator_gives_the_same_stream() {
        let mut draws = Draws::new(42, Purpose::TargetToken, 7);
        let mut stream = Stream::new(42, Purpose::TargetToken, 7);
        for _ in 0..50 {
            assert_eq!(draws.next_u128(), stream.next_u128());
            assert_eq!(draws.next_unit(), stream.next_unit());
            assert_eq!(draws.next_normal(), stream.next_normal());
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut draws = Draws::new(3, Purpose::TargetDelay, 0);
        let units: Vec<f64> = (0..20_000).map(|_| draws.next_unit()).collect();
        let mean = units.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "mean of uniform draws: {mean}");
        let normals: Vec<f64> = (0..20_000).map(|_| draws.next_normal()).collect();
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!((variance - 1.0).abs() < 0.05, "variance of normal draws: {variance}");
        let within = draws.next_duration(Duration::from_secs(1), Duration::from_secs(2));
        assert!(within >= Duration::from_secs(1) && within < Duration::from_secs(2));
    }
}
