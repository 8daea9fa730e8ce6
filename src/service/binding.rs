//! Tokens that only their holder can show: by the proof of a key (DPoP, RFC 9449), by a certificate (RFC 8705).
//!
//! In: `(now, what a request shows beside its token)`. Out: to what a token is to be bound, or a refusal. No I/O, no clock; nonces are drawn from the
//! seed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use ring::hmac;

use crate::clock::Moment;
use crate::jose::{Proof, ProofFault, base64url, read_proof, sha256, token_hash};
use crate::random::{Draws, Purpose};
use crate::sample::Cause;
use crate::scenario::keys::{TargetDpop, TargetRules};

use super::refusal::{HandshakeRefusal, status_of};
use super::registry::{TokenId, TokenRegistry};
use super::rules::{Handshake, TargetState};
use super::token::{TokenError, TokenRefusal};

/// The most proofs that are remembered, so that none is taken twice.
const MOST_PROOFS: usize = 1 << 20;
/// Bindings of tokens that are forgotten are taken out when they outnumber what was left the last time by this.
const SLACK: usize = 1024;
/// The code of an answer that wants another nonce (RFC 9449 §8).
const USE_NONCE: &str = "use_dpop_nonce";
/// The code of a proof that is refused.
const INVALID_PROOF: &str = "invalid_dpop_proof";

/// What a request shows beside its token.
#[derive(Clone, Copy, Default)]
pub struct Holder<'a> {
    /// The proof; an empty one where there are several.
    pub proof: Option<&'a str>,
    /// The method of the request.
    pub method: &'a str,
    /// Its URI, without query and fragment.
    pub uri: &'a str,
    /// The SHA-256 of the certificate of its connection.
    pub certificate: Option<[u8; 32]>,
    /// Whether the token came as `Authorization: DPoP …`.
    pub is_dpop: bool,
}

/// To what a token is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The key of that thumbprint.
    Key([u8; 32]),
    /// The certificate of that SHA-256.
    Certificate([u8; 32]),
}

/// What is kept of bound tokens, where the rules bind any.
#[derive(Debug)]
pub(super) struct Bindings {
    of: HashMap<TokenId, Bound>,
    /// When the forgotten are taken out.
    most: usize,
    seen: Seen,
    nonces: Nonces,
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
        }))
    }

    /// To what a token is bound.
    pub(super) fn get(&self, id: TokenId) -> Option<Bound> {
        self.of.get(&id).copied()
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
    fn prove(
        &mut self,
        at: At,
        holder: Holder<'_>,
        token: Option<&str>,
        wants_nonce: bool,
    ) -> Result<[u8; 32], Why> {
        let text = holder.proof.ok_or(Why("no proof came with the request"))?;
        let proof = read_proof(text).map_err(|fault| Why(in_words(fault)))?;
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
struct At {
    now: Moment,
    unix_s: f64,
    rules: TargetDpop,
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Why(&'static str);

const NEEDS_NONCE: Why = Why("the proof lacks the nonce of this server");

impl Why {
    const fn code(self) -> &'static str {
        if self.needs_nonce() { USE_NONCE } else { INVALID_PROOF }
    }

    const fn needs_nonce(self) -> bool {
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

impl TargetState {
    fn at(&self, now: Moment, rules: TargetDpop) -> At {
        let unix_s = self.writer.origin_s() as f64 + now.as_us() as f64 / 1e6;
        At { now, unix_s, rules }
    }

    /// The nonce that the next proofs are to have; `None` where none is wanted there.
    #[must_use]
    pub fn proof_nonce(&self, now: Moment, is_handshake: bool) -> Option<String> {
        let wanted = self.rules.dpop?.nonce;
        let is_wanted = if is_handshake { wanted.is_at_handshake() } else { wanted.is_at_token() };
        let nonces = &self.bindings.as_ref()?.nonces;
        is_wanted.then(|| nonces.of(nonces.span(now)))
    }

    /// To what the token of a request is to be bound.
    pub(super) fn binding_of(
        &mut self,
        now: Moment,
        holder: Holder<'_>,
        used_basic: bool,
    ) -> Result<Option<Bound>, TokenRefusal> {
        if let Some(rules) = self.rules.dpop
            && (rules.required || holder.proof.is_some())
            && let at = self.at(now, rules)
            && let Some(bindings) = &mut self.bindings
        {
            let proved = bindings.prove(at, holder, None, rules.nonce.is_at_token());
            return proved.map(|key| Some(Bound::Key(key))).map_err(|why| {
                let error =
                    if why.needs_nonce() { TokenError::UseDpopNonce } else { TokenError::InvalidDpopProof };
                TokenRefusal { error, description: why.0, used_basic }
            });
        }
        let binds = self.rules.client_certificates.as_ref().is_some_and(|asked| asked.bind_tokens);
        Ok(holder.certificate.filter(|_| binds).map(Bound::Certificate))
    }

    /// Refuses an upgrade request whose token is bound, and which does not show that it may show it; `None`: it is looked at further.
    pub fn refuse_holder(
        &mut self,
        now: Moment,
        credential: Option<&str>,
        holder: Holder<'_>,
    ) -> Option<Handshake> {
        let text = credential?;
        let id = self.bindings.as_ref().and_then(|_| self.writer.read(text))?;
        let bound = self.tokens.find(&id).and_then(|id| self.bindings.as_ref()?.get(id));
        let wrong = match (bound, self.rules.dpop) {
            (Some(Bound::Key(key)), Some(rules)) if holder.is_dpop => {
                let at = self.at(now, rules);
                let proved =
                    self.bindings.as_mut()?.prove(at, holder, Some(text), rules.nonce.is_at_handshake());
                match proved {
                    Ok(proved) if proved == key => return None,
                    Ok(_) => (INVALID_PROOF, "the token is bound to another key than that of the proof"),
                    Err(why) => (why.code(), why.0),
                }
            }
            (Some(Bound::Key(_)), _) => {
                (INVALID_PROOF, "the token is bound to a key, and shown without a proof of it")
            }
            (Some(Bound::Certificate(own)), _) if holder.certificate == Some(own) => return None,
            (Some(Bound::Certificate(_)), _) => {
                ("token.certificate", "the token is bound to another certificate than that of the connection")
            }
            (None, _) if holder.is_dpop => ("token.unbound", "the token is bound to no key"),
            (None, _) => return None,
        };
        let needs_nonce = wrong.0 == USE_NONCE;
        let status =
            if needs_nonce { 401 } else { status_of(self.rules.refusal_status, Cause::UnknownToken) };
        Some(self.refuse(
            now,
            HandshakeRefusal { status, cause: Cause::ForbiddenOther, words: wrong, retry_after: None },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, ProofKey, ProofOf, SigningKey};
    use crate::scenario::keys::NonceAt;
    use crate::service::token::{TokenAnswer, TokenRequest};

    const URI: &str = "https://t/oauth/token";
    const EVENTS: &str = "https://t/events";
    const UNIX: u64 = 1_000_000;

    struct Scene {
        target: TargetState,
        key: ProofKey,
        proofs: u64,
    }

    impl Scene {
        fn new(nonce: NonceAt) -> Self {
            let dpop = TargetDpop { nonce, nonce_life: Duration::from_secs(10), ..TargetDpop::default() };
            let rules = TargetRules { dpop: Some(dpop), ..TargetRules::default() };
            let mut target = TargetState::new(rules, 1);
            target.set_origin(UNIX * 1_000_000);
            Self { target, key: own_key(), proofs: 0 }
        }

        fn proof(&mut self, of: ProofOf<'_>) -> String {
            self.proofs += 1;
            let id = self.proofs.to_string();
            self.key.prove(ProofOf { id: if of.id.is_empty() { &id } else { of.id }, ..of }).unwrap()
        }

        fn ask(&mut self, s: u64, proof: Option<&str>) -> Result<String, (u16, &'static str, &'static str)> {
            let holder = Holder { proof, method: "POST", uri: URI, ..Holder::default() };
            let request = TokenRequest {
                grant_type: Some("client_credentials"),
                client_id: Some("c"),
                client_secret: Some("s"),
                holder,
                ..TokenRequest::default()
            };
            match self.target.token_request(at(s), request) {
                TokenAnswer::Issued(issued) => {
                    assert_eq!(issued.token_type(), "DPoP");
                    Ok(issued.access_token.text())
                }
                TokenAnswer::Refused(refusal) => {
                    Err((refusal.status(), refusal.error.name(), refusal.description))
                }
                TokenAnswer::Limited(_) => unreachable!(),
            }
        }

        fn show(
            &mut self,
            s: u64,
            token: &str,
            holder: Holder<'_>,
        ) -> Option<(u16, &'static str, &'static str)> {
            match self.target.refuse_holder(at(s), Some(token), holder)? {
                Handshake::Refused(refusal) => Some((refusal.status, refusal.words.0, refusal.words.1)),
                Handshake::Admitted { .. } => unreachable!(),
            }
        }
    }

    fn own_key() -> ProofKey {
        ProofKey::new(SigningKey::generate(Algorithm::Es256).unwrap().into()).unwrap()
    }

    fn at(s: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(s)
    }

    fn post(s: u64) -> ProofOf<'static> {
        ProofOf { method: "POST", uri: URI, issued_s: UNIX + s, id: "", nonce: None, token: None }
    }

    fn get(proof: &str) -> Holder<'_> {
        Holder { proof: Some(proof), method: "GET", uri: EVENTS, is_dpop: true, certificate: None }
    }

    #[test]
    fn a_proof_is_for_one_request_at_one_time_by_one_key() {
        let mut scene = Scene::new(NonceAt::Never);
        let refused = |why: &'static str| Err((400, INVALID_PROOF, why));
        assert_eq!(scene.ask(1, None), refused("no proof came with the request"));
        assert_eq!(scene.ask(1, Some("")), refused("the proof is no JWT with htm, htu, iat and jti"));
        for (of, why) in [
            (ProofOf { method: "GET", ..post(1) }, "htm of the proof is another method"),
            (ProofOf { uri: "https://t/other", ..post(1) }, "htu of the proof is another URI"),
            (post(62), "iat of the proof is not of this time"),
        ] {
            let proof = scene.proof(of);
            assert_eq!(scene.ask(1, Some(&proof)), refused(why));
        }
        let late = scene.proof(post(1));
        assert_eq!(scene.ask(62, Some(&late)), refused("iat of the proof is not of this time"));
        let proof = scene.proof(ProofOf { id: "one", ..post(62) });
        let token = scene.ask(62, Some(&proof)).unwrap();
        assert_eq!(scene.ask(63, Some(&proof)), refused("the proof was shown before (jti)"));

        let shown = |scene: &mut Scene, of: ProofOf<'_>| {
            let proof = scene.proof(ProofOf { method: "GET", uri: EVENTS, ..of });
            scene.show(63, &token, get(&proof))
        };
        assert_eq!(shown(&mut scene, ProofOf { token: Some(&token), ..post(63) }), None);
        let refused = |why: &'static str| Some((403, INVALID_PROOF, why));
        assert_eq!(shown(&mut scene, post(63)), refused("ath of the proof is not of this token"));
        let bare = Holder { proof: None, is_dpop: false, ..get("") };
        let bare = scene.show(63, &token, bare);
        assert_eq!(bare, refused("the token is bound to a key, and shown without a proof of it"));
        scene.key = own_key();
        let other = shown(&mut scene, ProofOf { token: Some(&token), ..post(63) });
        assert_eq!(other, refused("the token is bound to another key than that of the proof"));
    }

    #[test]
    fn a_nonce_is_asked_for_and_outlives_its_span_by_one() {
        let mut scene = Scene::new(NonceAt::Both);
        let proof = scene.proof(post(5));
        assert_eq!(scene.ask(5, Some(&proof)), Err((400, USE_NONCE, NEEDS_NONCE.0)));
        let nonce = scene.target.proof_nonce(at(5), false).unwrap();
        let mut with = |s: u64| {
            let proof = scene.proof(ProofOf { nonce: Some(&nonce), ..post(s) });
            scene.ask(s, Some(&proof)).map_err(|(_, code, _)| code)
        };
        let token = with(9).unwrap();
        assert!(with(19).is_ok());
        assert_eq!(with(20), Err(USE_NONCE));
        let proof = scene.proof(ProofOf { method: "GET", uri: EVENTS, token: Some(&token), ..post(20) });
        assert_eq!(scene.show(20, &token, get(&proof)), Some((401, USE_NONCE, NEEDS_NONCE.0)));
    }

    #[test]
    fn a_token_may_be_bound_to_a_certificate() {
        use crate::scenario::keys::TargetCertificates;
        let asked = TargetCertificates { authority: None, required: false, bind_tokens: true };
        let rules = TargetRules { client_certificates: Some(asked), ..TargetRules::default() };
        let mut target = TargetState::new(rules, 1);
        let holder = |certificate| Holder { certificate, ..Holder::default() };
        let request = TokenRequest {
            grant_type: Some("client_credentials"),
            client_id: Some("c"),
            holder: holder(Some([7; 32])),
            ..TokenRequest::default()
        };
        let TokenAnswer::Issued(issued) = target.token_request(at(1), request) else { unreachable!() };
        let token = issued.access_token.text();
        assert!(target.refuse_holder(at(1), Some(&token), holder(Some([7; 32]))).is_none());
        for other in [None, Some([8; 32])] {
            assert!(target.refuse_holder(at(1), Some(&token), holder(other)).is_some());
        }
        let bare = TokenRequest { holder: holder(None), ..request };
        assert!(
            matches!(target.token_request(at(1), bare), TokenAnswer::Refused(_)),
            "neither secret nor certificate"
        );
    }
}
