//! Who holds a token: what a request shows of it, and to what a token is bound.

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
