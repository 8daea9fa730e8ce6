//! The HTTP client of the requests before a handshake.
//!
//! In: the run's TLS and its address policy, the group's proxy. Out: a `reqwest` client that follows no redirect and connects only where the
//! policy lets it.

use std::sync::Arc;
use std::time::Duration;

use super::address::AddressPolicy;
use super::context::{PRODUCT, RunShared};
use super::proxy::Proxy;

/// How long an unused connection is kept. Short, so that a storm's descriptors come back.
const POOL_IDLE: Duration = Duration::from_secs(5);

pub(super) fn http_client(run: &RunShared, proxy: Option<&Proxy>) -> Result<reqwest::Client, reqwest::Error> {
    let tls = run.tls().map_or_else(no_tls, |config| Some(config.as_ref().clone()));
    let builder = reqwest::Client::builder()
        .user_agent(PRODUCT)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(usize::MAX)
        .dns_resolver(PolicedResolver { policy: Arc::clone(run.policy()) });
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy.for_http()?),
        None => builder.no_proxy(),
    };
    match tls {
        Some(config) => builder.tls_backend_preconfigured(config).build(),
        None => builder.build(),
    }
}

/// A configuration that trusts nobody, for runs without TLS: without one, the HTTP client would load the system's store
/// for nothing.
fn no_tls() -> Option<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// Resolves as the system does, and lets only addresses pass that may be hit.
#[derive(Debug)]
struct PolicedResolver {
    policy: Arc<AddressPolicy>,
}

impl reqwest::dns::Resolve for PolicedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let host = name.as_str();
            let mut allowed = Vec::new();
            for address in tokio::net::lookup_host((host, 0)).await? {
                policy.check(host, address.ip())?;
                allowed.push(address);
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
