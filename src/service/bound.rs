//! The target's decisions on tokens that only their holder can show.
//!
//! In: `(now, request, what it shows of who holds the token)`. Out: to what a token is to be bound, or a refusal. No I/O, no clock.

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::TargetDpop;

use super::binding::{At, INVALID_PROOF, USE_NONCE};
use super::holder::{Bound, Holder};
use super::refusal::{HandshakeRefusal, status_of};
use super::rules::{Handshake, TargetState};
use super::token::{TokenError, TokenRefusal};

impl TargetState {
    fn at(&self, now: Moment, rules: TargetDpop) -> At {
        let unix_s = self.writer.origin_s() as f64 + now.as_us() as f64 / 1e6;
        At { now, unix_s, rules }
    }

    /// From now on clients are in this process, and their proofs those that nobody signs.
    pub fn take_stand_in_proofs(&mut self) {
        if let Some(bindings) = &mut self.bindings {
            bindings.take_stand_ins();
        }
    }

    /// The nonce that the next proofs are to have; `None` where none is wanted there.
    #[must_use]
    pub fn proof_nonce(&self, now: Moment, is_handshake: bool) -> Option<String> {
        let wanted = self.rules.dpop?.nonce;
        let is_wanted = if is_handshake { wanted.is_at_handshake() } else { wanted.is_at_token() };
        let bindings = self.bindings.as_ref()?;
        is_wanted.then(|| bindings.nonce(now))
    }

    /// To what the token of a request is to be bound.
    pub(super) fn binding_of(
        &mut self,
        now: Moment,
        holder: &Holder<'_>,
        used_basic: bool,
    ) -> Result<Option<Bound>, TokenRefusal> {
        if let Some(rules) = self.rules.dpop
            && (rules.required || holder.proof.is_some())
            && let at = self.at(now, rules)
            && let Some(bindings) = &mut self.bindings
        {
            let proved = bindings.prove(at, *holder, None, rules.nonce.is_at_token());
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
    use std::time::Duration;

    use super::super::binding::NEEDS_NONCE;
    use super::*;
    use crate::jose::{Algorithm, ProofKey, ProofOf, SigningKey};
    use crate::scenario::keys::{NonceAt, TargetRules};
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
