//! What clients sign in virtual time.
//!
//! In: the keys of a scenario, claims. Out: JWTs that the target's rules judge as on the network: by their claims, and by whether the key is the
//! one that the target trusts. A private key's signature takes a processor too long for a million clients: such a key is tried once, and then
//! another stands for it, on both sides.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::declare::template::Template;
use crate::jose::{Algorithm, KeySet, SigningKey, VerifyingKey, signing_input, with_signature};
use crate::scenario::keys::{
    ClientAssertion, ClientAuth, ClientCredentials, Grant, GrantType, JwtKeys, MintRules, Scenario, Shown,
    Signatures, Target, TargetRules, TokenFill, Trusted,
};

/// The keys that stand for others: for one that the target trusts, and for one that it does not.
#[derive(Debug)]
pub(super) struct StandIns {
    /// What checks the true keys; `None`: the target trusts none.
    trusted: Option<Arc<KeySet>>,
    /// Whether every key counts as trusted: nobody here knows whom a remote service trusts.
    all_fit: bool,
    fits: Option<Arc<SigningKey>>,
    other: Option<Arc<SigningKey>>,
}

/// How far the clocks of a service and of its clients may differ.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
const FITS: &str = "resurge: stands for the key that is trusted";
const OTHER: &str = "resurge: stands for a key that is not";

impl StandIns {
    /// Puts the keys that stand for others in a target's rules.
    pub(super) fn of(scenario: &Scenario, rules: &mut TargetRules) -> Self {
        let stand_in = |text: &str| SigningKey::read(Algorithm::Hs256, text).ok().map(Arc::new);
        let signs = scenario.groups.iter().find_map(|group| group.connect.sign.as_ref());
        let all_fit = matches!(scenario.target, Target::Remote(_)) && (scenario.signs() || signs.is_some());
        let trusted = rules.trusted.as_ref().map(|trusted| Arc::clone(&trusted.keys));
        let own = trusted.as_ref().is_some_and(|keys| keys.is_shared());
        if (all_fit || (trusted.is_some() && !own))
            && let Ok(key) = VerifyingKey::read(Algorithm::Hs256, FITS)
        {
            let named = rules.trusted.take().filter(|_| !all_fit);
            let (audience, issuer) = named.map_or((None, None), |named| (named.audience, named.issuer));
            rules.trusted = Some(Trusted { keys: Arc::new(key.into()), audience, issuer });
        }
        if let Some(sign) = signs.filter(|_| all_fit) {
            let (purpose, tolerance) = (sign.purpose.clone(), TOLERANCE);
            rules.signatures = Some(Signatures { purpose, tolerance, keys: Vec::new(), takes_any: true });
        }
        if all_fit {
            let shown = [GrantType::Password, GrantType::JwtBearer, GrantType::TokenExchange];
            rules.grants.extend(shown);
        }
        Self { trusted, all_fit, fits: stand_in(FITS), other: stand_in(OTHER) }
    }

    /// What signs in the place of a key, which tokens call by that name.
    fn stand_in(&self, key: &Arc<SigningKey>, key_id: Option<&str>) -> Arc<SigningKey> {
        let is_shared = key.algorithm().is_shared();
        if is_shared && !self.all_fit {
            return Arc::clone(key);
        }
        let fits = self.all_fit || self.trusted.as_ref().is_some_and(|trusted| is_pair(key, key_id, trusted));
        let stands = if fits { &self.fits } else { &self.other };
        Arc::clone(stands.as_ref().unwrap_or(key))
    }

    fn signer(&self, rules: &MintRules) -> Signer {
        let is_slow = !rules.key.algorithm().is_shared();
        Signer {
            rules: MintRules { key: self.stand_in(&rules.key, rules.key_id.as_deref()), ..rules.clone() },
            is_slow,
        }
    }
}

/// Whether what one signs is what the other takes.
fn is_pair(key: &SigningKey, key_id: Option<&str>, trusted: &KeySet) -> bool {
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().name().into());
    header.extend(key_id.map(|id| ("kid".to_owned(), Value::from(id))));
    signed(key, &header, &Map::new()).is_some_and(|token| trusted.claims(&token).is_ok())
}

/// Signs tokens by the rules of a scenario.
#[derive(Debug)]
struct Signer {
    rules: MintRules,
    /// Whether the true key takes time.
    is_slow: bool,
}

impl Signer {
    /// A token, and how long it lives.
    fn sign(&self, fill: &TokenFill<'_>) -> Option<(String, Duration)> {
        let (header, claims) = self.rules.compose(fill)?;
        let life = MintRules::life_of(&claims, fill.unix_us);
        Some((signed(&self.rules.key, &header, &claims)?, life))
    }
}

fn signed(key: &SigningKey, header: &Map<String, Value>, claims: &Map<String, Value>) -> Option<String> {
    let input = signing_input(header, claims);
    Some(with_signature(&input, &key.sign(input.as_bytes())?))
}

/// Tokens that clients sign by themselves.
#[derive(Debug)]
pub(super) struct Minter {
    signer: Signer,
    keys: Arc<JwtKeys>,
}

impl Minter {
    /// That of a group, where its clients mint their own.
    pub(super) fn of(grant: &Grant, stand_ins: &StandIns) -> Option<Self> {
        let Grant::Jwt(keys) = grant else { return None };
        Some(Self { signer: stand_ins.signer(&keys.mint), keys: Arc::clone(keys) })
    }

    /// The token of a client, and how long it lives; `None` where what fills its claims makes no JSON of them.
    pub(super) fn mint(&self, at: Filled) -> Option<(String, Duration)> {
        let Filled { client, index, unix_us } = at;
        self.signer.sign(&TokenFill { client, index, unix_us, feeder: self.keys.feeder.as_deref() })
    }

    /// How many signatures that take time there are in one.
    pub(super) fn slow_signatures(&self) -> u32 {
        u32::from(self.signer.is_slow)
    }
}

/// What each token request of a group says in its own way.
#[derive(Debug)]
pub(super) struct OwnParams {
    credentials: ClientCredentials,
    shown: Option<Box<Shown>>,
    grant: Option<Signer>,
    client: Option<(ClientAssertion, bool)>,
}

impl OwnParams {
    /// Those of a group; `None` where all of its requests say the same.
    pub(super) fn of(
        credentials: &ClientCredentials,
        grant: &Grant,
        stand_ins: &StandIns,
    ) -> Option<Box<Self>> {
        let shown = match grant {
            Grant::Shown { shown, .. } => Some(shown.clone()),
            _ => None,
        };
        let varies = |text: &Template| text.variables().next().is_some();
        let is_signed = matches!(credentials.auth, ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt);
        let is_own =
            shown.is_some() || is_signed || credentials.params.iter().any(|(_, template)| varies(template));
        let client = is_signed.then(|| {
            let rules = credentials.client_assertion.clone().unwrap_or_default();
            let is_slow = rules.key.is_some() && !rules.algorithm.is_shared();
            let key = rules.key.as_ref().map(|key| stand_ins.stand_in(key, rules.key_id.as_deref()));
            let algorithm = key.as_ref().map_or(rules.algorithm, |key| key.algorithm());
            (ClientAssertion { algorithm, key, ..rules }, is_slow)
        });
        let signer = shown.as_ref().and_then(|shown| shown.minted()).map(|rules| stand_ins.signer(rules));
        is_own.then(|| Box::new(Self { credentials: credentials.clone(), shown, grant: signer, client }))
    }

    /// How many signatures that take time there are in a request.
    pub(super) fn slow_signatures(&self, is_refresh: bool) -> u32 {
        let grant = self.grant.as_ref().is_some_and(|signer| signer.is_slow && !is_refresh);
        u32::from(grant) + u32::from(self.client.as_ref().is_some_and(|(_, is_slow)| *is_slow))
    }

    /// The parameters of the request of a client with that id and secret.
    pub(super) fn write(&self, of: (&str, &str), at: Filled, is_refresh: bool) -> Vec<(String, String)> {
        let Filled { client, index, unix_us } = at;
        let fill = TokenFill { client, index, unix_us, feeder: self.credentials.feeder.as_deref() };
        let text = |template: &Template| template.render(|name| fill.value(name));
        let mut params: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| params.push((name.to_owned(), value));
        if let Some(assertion) = self.client_assertion(of, &fill) {
            add("client_assertion", assertion);
        }
        match self.shown.as_deref().filter(|_| !is_refresh) {
            Some(Shown::Password(keys)) => {
                add("username", text(&keys.username));
                add("password", text(&keys.password));
            }
            Some(Shown::JwtBearer(_)) => add("assertion", self.minted(&fill)),
            Some(Shown::TokenExchange(keys)) => {
                let given = keys.subject_token.as_ref().map(text);
                add("subject_token", given.unwrap_or_else(|| self.minted(&fill)));
                add("subject_token_type", keys.subject_type().to_owned());
            }
            None => {}
        }
        for (name, template) in &self.credentials.params {
            add(name, text(template));
        }
        params
    }

    fn minted(&self, fill: &TokenFill<'_>) -> String {
        self.grant.as_ref().and_then(|signer| signer.sign(fill)).map(|(token, _)| token).unwrap_or_default()
    }

    fn client_assertion(&self, (id, secret): (&str, &str), fill: &TokenFill<'_>) -> Option<String> {
        let (rules, _) = self.client.as_ref()?;
        let own;
        let key = if let Some(key) = &rules.key {
            key
        } else {
            own = Arc::new(SigningKey::read(rules.algorithm, secret).ok()?);
            &own
        };
        // Whom it is for is not looked at: it is for this endpoint.
        let (header, claims) = rules.compose(id, "", fill);
        signed(key, &header, &claims)
    }
}

/// Whose request it is, and when it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub(super) client: u32,
    pub(super) index: u32,
    pub(super) unix_us: u64,
}
