//! Tokens that only their holder can show: by the proof of a key (DPoP, RFC 9449), by a certificate (RFC 8705).
//!
//! In: `(now, what a request shows beside its token)`. Out: to what a token is bound, whose key a proof proves, or why it is none. No I/O, no clock; nonces
//! are drawn from the seed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use ring::hmac;

use crate::clock::Moment;
use crate::jose::{Proof, ProofFault, base64url, read_proof, read_stand_in, sha256, token_hash};
use crate::random::{Draws, Purpose};
use crate::scenario::keys::{TargetDpop, TargetRules};

use super::holder::{Bound, Holder};
use super::registry::{TokenId, TokenRegistry};

/// The most proofs that are remembered, so that none is taken twice.
const MOST_PROOFS: usize = 1 << 20;
/// Bindings of tokens that are forgotten are taken out when they outnumber what was left the last time by this.
const SLACK: usize = 1024;
/// The code of an answer that wants another nonce (RFC 9449 §8).
pub(super) const USE_NONCE: &str = "use_dpop_nonce";
/// The code of a proof that is refused.
pub(super) const INVALID_PROOF: &str = "invalid_dpop_proof";

/// What is kept of bound tokens, where the rules bind any.
#[derive(Debug)]
pub(super) struct Bindings {
    of: HashMap<TokenId, Bound>,
    /// When the forgotten are taken out.
    most: usize,
    seen: Seen,
    nonces: Nonces,
    /// What reads a proof.
    reads: fn(&str) -> Result<Proof, ProofFault>,
}

/// The proofs that were taken.
#[derive(Debug, Default)]
struct Seen {
    names: HashSet<[u8; 16]>,
    /// In the order in which they came, with the time until which they are remembered.
    by_time: VecDeque<([u8; 16], Moment)>,
}

impl Seen {
    /// Whether a proof of that name came before; it has now.
    fn again(&mut self, now: Moment, key: &[u8; 32], id: &str, until: Moment) -> bool {
        while self.by_time.front().is_some_and(|(_, until)| *until <= now)
            || self.by_time.len() >= MOST_PROOFS
        {
            if let Some((name, _)) = self.by_time.pop_front() {
                self.names.remove(&name);
            }
        }
        let hash = sha256(&[key.as_slice(), id.as_bytes()].concat());
        let mut name = [0; 16];
        name.copy_from_slice(&hash[..16]);
        let is_new = self.names.insert(name);
        if is_new {
            self.by_time.push_back((name, until));
        }
        !is_new
    }
}

/// Nonces: each is good for its own span of time and the next.
struct Nonces {
    key: hmac::Key,
    life: Duration,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Nonces {
    fn span(&self, now: Moment) -> u64 {
        now.as_us() / u64::try_from(self.life.as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn of(&self, span: u64) -> String {
        base64url(&hmac::sign(&self.key, &span.to_be_bytes()).as_ref()[..12])
    }

    fn is_good(&self, now: Moment, nonce: &str) -> bool {
        let span = self.span(now);
        nonce == self.of(span) || span > 0 && nonce == self.of(span - 1)
    }
}

impl Bindings {
    /// The nonce that the next proofs are to have.
    pub(super) fn nonce(&self, now: Moment) -> String {
        self.nonces.of(self.nonces.span(now))
    }

    /// What the rules need; `None` where they bind nothing.
    pub(super) fn of(rules: &TargetRules, seed: u64) -> Option<Box<Self>> {
        let binds = rules.client_certificates.as_ref().is_some_and(|asked| asked.bind_tokens);
        if rules.dpop.is_none() && !binds {
            return None;
        }
        let mut draws = Draws::new(seed, Purpose::TargetToken, 2);
        let key: Vec<u8> = (0..4).flat_map(|_| draws.next_u64().to_be_bytes()).collect();
        let life = rules.dpop.unwrap_or_default().nonce_life;
        Some(Box::new(Self {
            of: HashMap::new(),
            most: SLACK,
            seen: Seen::default(),
            nonces: Nonces { key: hmac::Key::new(hmac::HMAC_SHA256, &key), life },
            reads: read_proof,
        }))
    }

    /// From now on proofs are those that nobody signs.
    pub(super) fn take_stand_ins(&mut self) {
        self.reads = read_stand_in;
    }

    /// To what a token is bound.
    pub(super) fn get(&self, id: TokenId) -> Option<Bound> {
        self.of.get(&id).copied()
    }

    /// Whether a token is bound to a key.
    pub(super) fn is_to_key(&self, id: TokenId) -> bool {
        matches!(self.of.get(&id), Some(Bound::Key(_)))
    }

    /// Binds a token. What is kept of those that are forgotten goes.
    pub(super) fn bind(&mut self, id: TokenId, bound: Bound, tokens: &TokenRegistry) {
        self.of.insert(id, bound);
        if self.of.len() > self.most {
            self.of.retain(|id, _| tokens.has(*id));
            self.most = 2 * self.of.len() + SLACK;
        }
    }

    /// The thumbprint of the key that a proof proves.
    pub(super) fn prove(
        &mut self,
        at: At,
        holder: Holder<'_>,
        token: Option<&str>,
        wants_nonce: bool,
    ) -> Result<[u8; 32], Why> {
        let text = holder.proof.ok_or(Why("no proof came with the request"))?;
        let proof = (self.reads)(text).map_err(|fault| Why(in_words(fault)))?;
        check(&proof, holder, token)?;
        let window = at.rules.window.as_secs_f64();
        if (proof.issued_s - at.unix_s).abs() > window {
            return Err(Why("iat of the proof is not of this time"));
        }
        if wants_nonce && !proof.nonce.as_deref().is_some_and(|nonce| self.nonces.is_good(at.now, nonce)) {
            return Err(NEEDS_NONCE);
        }
        let until = at.now + 2 * at.rules.window + Duration::from_secs(1);
        if self.seen.again(at.now, &proof.thumbprint, &proof.id, until) {
            return Err(Why("the proof was shown before (jti)"));
        }
        Ok(proof.thumbprint)
    }
}

/// The time, by both clocks, and the rules.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) now: Moment,
    pub(super) unix_s: f64,
    pub(super) rules: TargetDpop,
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why(pub(super) &'static str);

pub(super) const NEEDS_NONCE: Why = Why("the proof lacks the nonce of this server");

impl Why {
    pub(super) const fn code(self) -> &'static str {
        if self.needs_nonce() { USE_NONCE } else { INVALID_PROOF }
    }

    pub(super) const fn needs_nonce(self) -> bool {
        self.0.len() == NEEDS_NONCE.0.len()
    }
}

const fn in_words(fault: ProofFault) -> &'static str {
    match fault {
        ProofFault::Malformed => "the proof is no JWT with htm, htu, iat and jti",
        ProofFault::Type => "typ of the proof is not dpop+jwt",
        ProofFault::Algorithm => "alg of the proof is none that is taken",
        ProofFault::Key => "jwk of the proof is no public key of its alg",
        ProofFault::Signature => "the proof is not signed by its own key",
    }
}

/// Whether a proof is for this request (RFC 9449 §4.3).
fn check(proof: &Proof, holder: Holder<'_>, token: Option<&str>) -> Result<(), Why> {
    if proof.method != holder.method {
        return Err(Why("htm of the proof is another method"));
    }
    let bare = proof.uri.split(['?', '#']).next().unwrap_or_default();
    if !bare.eq_ignore_ascii_case(holder.uri) {
        return Err(Why("htu of the proof is another URI"));
    }
    match token {
        Some(token) if proof.token_hash.as_deref() != Some(&token_hash(token)) => {
            Err(Why("ath of the proof is not of this token"))
        }
        _ => Ok(()),
    }
}

/// Whether a refusal of these words is one that the scheme DPoP challenges for.
pub(super) fn is_of_proof(code: &str) -> bool {
    matches!(code, USE_NONCE | INVALID_PROOF)
}
