//! HTTP requests that come with a body.

use std::io::Read;

use super::requests::{header, read_head};

/// Reads an HTTP request: its head, and as much of a body as that says; `None` where it is not whole.
pub(crate) fn read_request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let head = read_head(stream)?;
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
