//! The certificates that clients show, before a target that asks for some.
//!
//! In: a group's certificate, the target's rules, what time it is on this machine. Out: what the target makes of it: the same as on the network. It is looked at
//! once, at the run's begin.

use rustls::AlertDescription;
use rustls::pki_types::UnixTime;

use crate::drive::network::alert_name;
use crate::lifecycle::ConnectFailure;
use crate::scenario::keys::{ClientCertificate, TargetCertificates, TargetRules, fingerprint};
use crate::service::server::client_verifier;

/// What comes of the certificate that a connection shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Certified {
    /// There is none, and none is asked for.
    #[default]
    No,
    /// It is taken; its SHA-256.
    Taken([u8; 32]),
    /// The target ends the connection, with an alert of that name.
    Refused(Box<str>),
}

impl Certified {
    /// What a target by `rules` makes of a certificate.
    pub(super) fn of(rules: &TargetRules, shown: Option<&ClientCertificate>, now: UnixTime) -> Self {
        let Some(asked) = rules.client_certificates.as_ref().filter(|_| rules.tls) else { return Self::No };
        let certified = shown.and_then(ClientCertificate::certified);
        let Some((first, rest)) = certified.as_ref().and_then(|certified| certified.cert.split_first())
        else {
            return if asked.required {
                Self::Refused(alert_name(AlertDescription::CertificateRequired))
            } else {
                Self::No
            };
        };
        match refusal(asked, first, rest, now) {
            None => Self::Taken(fingerprint(first)),
            Some(alert) => Self::Refused(alert_name(alert)),
        }
    }

    /// The certificate that was taken.
    pub(super) const fn taken(&self) -> Option<[u8; 32]> {
        match self {
            Self::Taken(certificate) => Some(*certificate),
            _ => None,
        }
    }

    /// How a connection fails whose certificate is not taken.
    pub(super) fn failure(&self) -> Option<ConnectFailure> {
        match self {
            Self::Refused(alert) => Some(ConnectFailure::Tls(Some(alert.clone()))),
            _ => None,
        }
    }
}

/// Why a certificate is not taken.
fn refusal(
    asked: &TargetCertificates,
    first: &rustls::pki_types::CertificateDer<'_>,
    rest: &[rustls::pki_types::CertificateDer<'_>],
    now: UnixTime,
) -> Option<AlertDescription> {
    let Ok(verifier) = client_verifier(asked) else { return Some(AlertDescription::InternalError) };
    let fault = verifier.verify_client_cert(first, rest, now).err()?;
    Some(match fault {
        rustls::Error::InvalidCertificate(fault) => fault.into(),
        _ => AlertDescription::BadCertificate,
    })
}
