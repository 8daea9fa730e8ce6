//! How numbers are sent by OTLP, as the standard variables of the environment have it.
//!
//! In: `--otlp`, variables of the environment. Out: [`OtlpSettings`], or what is wrong with one of them. Headers are secrets: no fault shows one.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Where metrics go below the URL that is given (OTLP specification, "OTLP/HTTP Request").
const METRICS_PATH: &str = "/v1/metrics";
/// How often they are sent unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long an export may take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How numbers are sent.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Where.
    pub(super) url: Url,
    /// Headers of each request.
    pub(super) headers: Vec<(String, SecretString)>,
    /// How often.
    pub(super) interval: Duration,
    /// How long an export may take, its retries included.
    pub(super) timeout: Duration,
    /// Whether requests are compressed.
    pub(super) gzip: bool,
    /// Whether counts go back to what was sent last.
    pub(super) delta: bool,
    /// Attributes of the resource.
    pub(super) attributes: Vec<(String, String)>,
    /// Authorities to trust beside the system's.
    pub(super) authorities: Option<PathBuf>,
}

impl OtlpSettings {
    /// Sending to `endpoint`, as `variable` has the environment.
    ///
    /// # Errors
    /// A sentence that names the variable or flag, and what it may hold.
    pub fn read(endpoint: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let of_metrics = |name: &str| {
            let own = variable(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"));
            own.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}"))).filter(|text| !text.is_empty())
        };
        let milliseconds =
            |name: &str, text: Option<String>, otherwise| match text.map(|text| text.parse::<u64>()) {
                None => Ok(otherwise),
                Some(Ok(ms @ 1..=86_400_000)) => Ok(Duration::from_millis(ms)),
                Some(_) => Err(format!("{name}: write milliseconds, from 1 to 86400000")),
            };
        let gzip = match of_metrics("COMPRESSION").as_deref() {
            None | Some("none") => false,
            Some("gzip") => true,
            Some(_) => return Err("OTEL_EXPORTER_OTLP_COMPRESSION: write gzip or none".to_owned()),
        };
        let delta =
            match of_metrics("TEMPORALITY_PREFERENCE").map(|text| text.to_ascii_lowercase()).as_deref() {
                None | Some("cumulative") => false,
                Some("delta") => true,
                Some(_) => {
                    return Err(
                        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: write cumulative or delta"
                            .to_owned(),
                    );
                }
            };
        if let Some(protocol) = of_metrics("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            return Err(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: resurge speaks http/protobuf alone"
            ));
        }
        let interval = variable("OTEL_METRIC_EXPORT_INTERVAL");
        let mut attributes = match variable("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => pairs(&text).ok_or("OTEL_RESOURCE_ATTRIBUTES: write name=value,name=value")?,
            None => Vec::new(),
        };
        if let Some(name) = variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
            attributes.retain(|(attribute, _)| attribute != "service.name");
            attributes.push(("service.name".to_owned(), name));
        }
        let headers = match of_metrics("HEADERS") {
            Some(text) => pairs(&text).filter(|pairs| pairs.iter().all(is_header)).ok_or(
                "OTEL_EXPORTER_OTLP_HEADERS: write name=value,name=value, with %20 and the like where a value has other characters",
            )?,
            None => Vec::new(),
        };
        Ok(Self {
            url: metrics_url(endpoint)?,
            headers: headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
            interval: milliseconds("OTEL_METRIC_EXPORT_INTERVAL", interval, INTERVAL)?,
            timeout: milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", of_metrics("TIMEOUT"), TIMEOUT)?,
            gzip,
            delta,
            attributes,
            authorities: of_metrics("CERTIFICATE").map(PathBuf::from),
        })
    }

    /// Where numbers go.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

/// The URL of metrics below `endpoint`.
fn metrics_url(endpoint: &str) -> Result<Url, String> {
    let example = "write it as http://127.0.0.1:4318";
    let mut url = Url::parse(endpoint).map_err(|error| format!("--otlp: {error}: {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("--otlp: the URL begins with http:// or https://: {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("--otlp: no credentials in the URL: OTEL_EXPORTER_OTLP_HEADERS takes them".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(METRICS_PATH) {
        url.set_path(&format!("{path}{METRICS_PATH}"));
    }
    Ok(url)
}

/// `name=value` pairs behind commas, percent-encoded as W3C Baggage has them.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        let name = decoded(name.trim())?;
        Some((name, decoded(value.trim())?)).filter(|(name, _)| !name.is_empty())
    };
    text.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect()
}

/// `%20` and the like, decoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.split_off_first() {
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.split_off(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether HTTP can carry it.
fn is_header((name, value): &(String, String)) -> bool {
    http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(endpoint: &str, variables: &[(&str, &str)]) -> Result<OtlpSettings, String> {
        OtlpSettings::read(endpoint, &|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn metrics_go_below_the_url() {
        for (endpoint, expected) in [
            ("http://h:4318", "http://h:4318/v1/metrics"),
            ("https://h/", "https://h/v1/metrics"),
            ("https://h/otlp/", "https://h/otlp/v1/metrics"),
            ("https://h/otlp/v1/metrics", "https://h/otlp/v1/metrics"),
        ] {
            assert_eq!(read(endpoint, &[]).unwrap().url.as_str(), expected);
        }
        for endpoint in ["h:4318", "ftp://h", "", "http://user:secret@h", "http://h?key=secret"] {
            let fault = read(endpoint, &[]).unwrap_err();
            assert!(fault.contains("--otlp") && !fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn the_standard_variables_hold() {
        let settings = read("http://h", &[]).unwrap();
        assert_eq!((settings.interval, settings.timeout), (INTERVAL, TIMEOUT));
        assert!(!settings.gzip && !settings.delta && settings.headers.is_empty());
        let settings = read(
            "http://h",
            &[
                ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b%3D, x=1"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "9"),
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2000"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment=staging"),
                ("OTEL_SERVICE_NAME", "nightly"),
            ],
        );
        let settings = settings.unwrap();
        assert_eq!(
            (settings.interval, settings.timeout),
            (Duration::from_millis(1_500), Duration::from_secs(2))
        );
        assert!(settings.gzip && settings.delta);
        let headers: Vec<_> =
            settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(headers, [("api-key", "a b="), ("x", "1")]);
        let attributes = [("deployment.environment", "staging"), ("service.name", "nightly")];
        assert_eq!(settings.attributes, attributes.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!format!("{settings:?}").contains("a b="), "headers are secrets");
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named_and_no_secret_shown() {
        for (name, value) in [
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "lowmemory"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%0a"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%zz"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=1"),
        ] {
            let fault = read("http://h", &[(name, value)]).unwrap_err();
            assert!(fault.contains(name) && !fault.contains("s3cret"), "{fault}");
        }
    }
}
