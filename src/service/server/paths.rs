//! The paths of the target's endpoints.

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Path of the revocation endpoint (RFC 7009).
pub const REVOKE_PATH: &str = "/oauth/revoke";
/// Path of the keys that check its tokens.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// Path of what it tells of itself.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Path of the guarded WebSocket endpoint, unless the rules say otherwise.
pub const EVENTS_PATH: &str = "/api/v2/analytics/events";
/// Path of the counters.
pub const COUNTERS_PATH: &str = "/_resurge/counters";
/// Path of storms.
pub const CLOSE_PATH: &str = "/_resurge/close";
/// Path that ends the life of tokens.
pub const CONTROL_REVOKE_PATH: &str = "/_resurge/revoke";
