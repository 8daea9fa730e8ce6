//! Whether a request's body says that it is JSON.
//!
//! In: headers. Out: yes or no. A page of another site can send only forms and plain texts without asking first (Fetch Standard, CORS-safelisted
//! request-header), so whatever acts takes JSON alone.

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

/// Whether the one `Content-Type` is `application/json`, whatever its parameters.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else { return false };
    let essence = first.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn json_alone_is_json() {
        let rows: [(&[&'static str], bool); 8] = [
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&[], false),
            (&["text/plain"], false),
            (&["text/plain; application/json"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["application/jsonp"], false),
            (&["application/json", "text/plain"], false),
        ];
        for (types, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(is_json(&headers), expected, "{types:?}");
        }
    }
}
