//! What both sides agree on (RFC 7692 §5, §7.1).
//!
//! In: what one side wants, and the headers `Sec-WebSocket-Extensions` of the other. Out: the header to send, and the terms; or why there
//! are none.

use super::NAME;

const CLIENT_FORGETS: &str = "client_no_context_takeover";
const SERVER_FORGETS: &str = "server_no_context_takeover";
const CLIENT_BITS: &str = "client_max_window_bits";
const SERVER_BITS: &str = "server_max_window_bits";
/// The largest window, which holds where nothing is said.
const MOST_BITS: u8 = 15;

/// What a client offers; or what a server asks for in its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// The client takes nothing over from message to message.
    pub client_no_context_takeover: bool,
    /// The server takes nothing over.
    pub server_no_context_takeover: bool,
    /// The client's largest window, as a power of two; the largest there is, 15, is offered without a value. `None`: the server may not
    /// choose.
    pub client_max_window_bits: Option<u8>,
    /// The server's largest window. `None`: it may choose.
    pub server_max_window_bits: Option<u8>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// How one side compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// It may refer to earlier messages.
    pub takes_over: bool,
    /// How far back, as a power of two.
    pub window_bits: u8,
}

/// What both sides agreed on, as seen from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How this side compresses.
    pub own: Side,
    /// How the peer does.
    pub peer: Side,
}

/// Why an answer cannot be agreed to: the connection must fail (RFC 7692 §7.1, RFC 6455 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The header is none.
    #[error("the header Sec-WebSocket-Extensions cannot be read")]
    Malformed,
    /// An extension that was not offered, or one twice.
    #[error("an extension was agreed to that was not offered")]
    NotOffered,
    /// A parameter that does not exist, twice, or with a value that it cannot have.
    #[error("permessage-deflate has a parameter that it cannot have")]
    Parameter,
    /// What was asked for is not granted.
    #[error("permessage-deflate was agreed to on other terms than were offered")]
    OtherTerms,
}

/// An extension of a header, with its parameters.
type Extension = (String, Vec<(String, Option<String>)>);

/// What a header says of permessage-deflate.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    client_forgets: bool,
    server_forgets: bool,
    /// Named; with a value or without.
    client_bits: Option<Option<u8>>,
    server_bits: Option<u8>,
}

impl Offer {
    /// What Chrome and its kin offer.
    pub const BROWSER: Self = Self {
        client_no_context_takeover: false,
        server_no_context_takeover: false,
        client_max_window_bits: Some(MOST_BITS),
        server_max_window_bits: None,
    };

    /// The header's value by which it is offered.
    #[must_use]
    pub fn header(&self) -> String {
        let mut said = Said {
            client_forgets: self.client_no_context_takeover,
            server_forgets: self.server_no_context_takeover,
            server_bits: self.server_max_window_bits,
            ..Said::default()
        };
        said.client_bits = self.client_max_window_bits.map(|bits| (bits < MOST_BITS).then_some(bits));
        said.header()
    }

    /// What a server's answer agrees to; `None`: no compression. `lists` are the values of its headers.
    ///
    /// # Errors
    /// [`Disagreement`] where the answer is none to this offer.
    pub fn agree<'h>(&self, lists: impl Iterator<Item = &'h str>) -> Result<Option<Terms>, Disagreement> {
        let mut answered = Vec::new();
        for list in lists {
            answered.extend(extensions(list).ok_or(Disagreement::Malformed)?);
        }
        let [(name, parameters)] = answered.as_slice() else {
            return if answered.is_empty() { Ok(None) } else { Err(Disagreement::NotOffered) };
        };
        if name != NAME {
            return Err(Disagreement::NotOffered);
        }
        let said = Said::of(parameters, Role::Server).ok_or(Disagreement::Parameter)?;
        let wider = |wanted: u8, got: Option<u8>| got.is_none_or(|got| got > wanted);
        let is_granted = (said.server_forgets || !self.server_no_context_takeover)
            && !self.server_max_window_bits.is_some_and(|wanted| wider(wanted, said.server_bits));
        // Only where it was offered may the client's window be chosen, and only smaller.
        let client_bits = said.client_bits.flatten();
        let is_allowed =
            client_bits.is_none_or(|bits| self.client_max_window_bits.is_some_and(|most| bits <= most));
        if !is_granted || !is_allowed {
            return Err(Disagreement::OtherTerms);
        }
        // A client may forget though the server did not ask for it (§7.1.1.2), and use a smaller window (§7.1.2.2).
        let bits = client_bits.or(self.client_max_window_bits).unwrap_or(MOST_BITS);
        Ok(Some(Terms {
            own: Side {
                takes_over: !(said.client_forgets || self.client_no_context_takeover),
                window_bits: bits,
            },
            peer: Side {
                takes_over: !said.server_forgets,
                window_bits: said.server_bits.unwrap_or(MOST_BITS),
            },
        }))
    }

    /// A server's answer to what a client offers: the header's value, and the terms; `None` where nothing that it offers will do. What it
    /// offers first goes first.
    #[must_use]
    pub fn accept<'h>(&self, lists: impl Iterator<Item = &'h str>) -> Option<(String, Terms)> {
        let offered = lists.filter_map(extensions).flatten().filter(|(name, _)| name == NAME);
        let mut fitting = offered.filter_map(|(_, parameters)| Said::of(&parameters, Role::Client));
        let offer = fitting.next()?;
        let least = |own: Option<u8>, other: Option<u8>| own.into_iter().chain(other).min();
        let said = Said {
            client_forgets: self.client_no_context_takeover || offer.client_forgets,
            server_forgets: self.server_no_context_takeover || offer.server_forgets,
            // Only where the client knows of it.
            client_bits: offer
                .client_bits
                .and_then(|bits| least(self.client_max_window_bits, bits))
                .filter(|bits| *bits < MOST_BITS)
                .map(Some),
            server_bits: least(self.server_max_window_bits, offer.server_bits),
        };
        let terms = Terms {
            own: Side {
                takes_over: !said.server_forgets,
                window_bits: said.server_bits.unwrap_or(MOST_BITS),
            },
            peer: Side {
                takes_over: !said.client_forgets,
                window_bits: said.client_bits.flatten().unwrap_or(MOST_BITS),
            },
        };
        Some((said.header(), terms))
    }
}

impl Said {
    /// What the parameters of a header say that `by` sent; `None` where they cannot be.
    fn of(parameters: &[(String, Option<String>)], by: Role) -> Option<Self> {
        let mut said = Self::default();
        for (name, value) in parameters {
            let bits = value.as_deref().map(window_bits);
            match (name.as_str(), bits) {
                (CLIENT_FORGETS, None) if !said.client_forgets => said.client_forgets = true,
                (SERVER_FORGETS, None) if !said.server_forgets => said.server_forgets = true,
                (SERVER_BITS, Some(Some(bits))) if said.server_bits.is_none() => {
                    said.server_bits = Some(bits);
                }
                (CLIENT_BITS, Some(Some(bits))) if said.client_bits.is_none() => {
                    said.client_bits = Some(Some(bits));
                }
                // Without a value in an offer alone (§7.1.2.2).
                (CLIENT_BITS, None) if said.client_bits.is_none() && by == Role::Client => {
                    said.client_bits = Some(None);
                }
                _ => return None,
            }
        }
        Some(said)
    }

    fn header(&self) -> String {
        let mut text = NAME.to_owned();
        let mut put = |name: &str, value: Option<u8>| {
            text.push_str("; ");
            text.push_str(name);
            if let Some(bits) = value {
                text.push_str(&format!("={bits}"));
            }
        };
        if self.client_forgets {
            put(CLIENT_FORGETS, None);
        }
        if self.server_forgets {
            put(SERVER_FORGETS, None);
        }
        if let Some(bits) = self.client_bits {
            put(CLIENT_BITS, bits);
        }
        if let Some(bits) = self.server_bits {
            put(SERVER_BITS, Some(bits));
        }
        text
    }
}

/// A window's size: 8 to 15, without a zero before it.
fn window_bits(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|bits| is_plain && (8..=MOST_BITS).contains(bits))
}

/// The extensions of a header's value (RFC 6455 §9.1); `None` where it is none.
fn extensions(list: &str) -> Option<Vec<Extension>> {
    let mut found = Vec::new();
    for item in split(list, ',')?.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
        let mut parts = split(item, ';')?.into_iter().map(str::trim);
        let name = parts.next().filter(|name| is_token(name))?;
        let parameters: Option<Vec<_>> = parts.map(parameter).collect();
        found.push((name.to_ascii_lowercase(), parameters?));
    }
    Some(found)
}

fn parameter(text: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match text.split_once('=') {
        None => (text, None),
        Some((name, value)) => {
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            (name.trim(), Some(quoted.unwrap_or(value)))
        }
    };
    // A quoted value must be a token as well (RFC 6455 §9.1).
    let is_good = is_token(name) && value.is_none_or(is_token);
    is_good.then(|| (name.to_ascii_lowercase(), value.map(str::to_owned)))
}

/// The parts between separators that stand in no quotes; `None` where a quote does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut is_quoted = false;
    let parts = text.split(|c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    });
    let parts = parts.collect();
    (!is_quoted).then_some(parts)
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Offer = Offer { client_max_window_bits: None, ..Offer::BROWSER };

    fn side(takes_over: bool, window_bits: u8) -> Side {
        Side { takes_over, window_bits }
    }

    #[test]
    fn offers_as_browsers_and_others_make_them() {
        assert_eq!(Offer::BROWSER.header(), "permessage-deflate; client_max_window_bits");
        assert_eq!(ANY.header(), "permessage-deflate");
        let all = Offer {
            client_no_context_takeover: true,
            server_no_context_takeover: true,
            client_max_window_bits: Some(10),
            server_max_window_bits: Some(9),
        };
        assert_eq!(
            all.header(),
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=10; server_max_window_bits=9"
        );
    }

    #[test]
    fn an_answer_is_agreed_to_only_where_it_was_offered() {
        use Disagreement::{Malformed, NotOffered, OtherTerms, Parameter};
        let strict = Offer {
            server_no_context_takeover: true,
            client_max_window_bits: Some(12),
            server_max_window_bits: Some(10),
            ..ANY
        };
        let full = Terms { own: side(true, 15), peer: side(true, 15) };
        let agreed = |own, peer| Ok(Some(Terms { own, peer }));
        type Row<'a> = (Offer, &'a str, Result<Option<Terms>, Disagreement>);
        let rows: [Row<'_>; 26] = [
            (ANY, "", Ok(None)),
            (ANY, "permessage-deflate", Ok(Some(full))),
            (ANY, "Permessage-Deflate ; server_no_context_takeover", agreed(side(true, 15), side(false, 15))),
            (ANY, "permessage-deflate; client_no_context_takeover", agreed(side(false, 15), side(true, 15))),
            (ANY, "permessage-deflate; server_max_window_bits=\"9\"", agreed(side(true, 15), side(true, 9))),
            (ANY, "permessage-deflate; client_max_window_bits=9", Err(OtherTerms)),
            (
                Offer::BROWSER,
                "permessage-deflate; client_max_window_bits=9",
                agreed(side(true, 9), side(true, 15)),
            ),
            (Offer::BROWSER, "permessage-deflate; client_max_window_bits", Err(Parameter)),
            (Offer::BROWSER, "permessage-deflate; client_max_window_bits=7", Err(Parameter)),
            (Offer::BROWSER, "permessage-deflate; client_max_window_bits=16", Err(Parameter)),
            (Offer::BROWSER, "permessage-deflate; client_max_window_bits=09", Err(Parameter)),
            (Offer::BROWSER, "permessage-deflate; server_max_window_bits", Err(Parameter)),
            (ANY, "permessage-deflate; server_no_context_takeover=1", Err(Parameter)),
            (
                ANY,
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                Err(Parameter),
            ),
            (ANY, "permessage-deflate; unknown", Err(Parameter)),
            (ANY, "permessage-deflate, permessage-deflate", Err(NotOffered)),
            (ANY, "permessage-bzip2", Err(NotOffered)),
            (ANY, "permessage-deflate; =", Err(Malformed)),
            (ANY, "permessage-deflate; a=\"", Err(Malformed)),
            (ANY, "permessage deflate", Err(Malformed)),
            (strict, "permessage-deflate", Err(OtherTerms)),
            (strict, "permessage-deflate; server_no_context_takeover", Err(OtherTerms)),
            (strict, "permessage-deflate; server_max_window_bits=10", Err(OtherTerms)),
            (
                strict,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
                Err(OtherTerms),
            ),
            (
                strict,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
                agreed(side(true, 12), side(false, 8)),
            ),
            (
                strict,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=13",
                Err(OtherTerms),
            ),
        ];
        for (offer, answer, expected) in rows {
            assert_eq!(offer.agree([answer].into_iter()), expected, "{offer:?}: {answer}");
        }
    }

    #[test]
    fn a_server_takes_the_first_offer_that_it_can() {
        let forgetful = Offer {
            client_no_context_takeover: true,
            server_no_context_takeover: true,
            client_max_window_bits: Some(11),
            server_max_window_bits: Some(10),
        };
        type Row<'a> = (Offer, &'a str, Option<(&'a str, Terms)>);
        let rows: [Row<'_>; 8] = [
            (ANY, "", None),
            (ANY, "permessage-bzip2", None),
            (ANY, "permessage-deflate; server_max_window_bits=7", None),
            (
                ANY,
                "permessage-deflate; unknown, permessage-deflate; client_max_window_bits",
                Some(("permessage-deflate", Terms { own: side(true, 15), peer: side(true, 15) })),
            ),
            (
                ANY,
                "permessage-deflate; client_max_window_bits=9; server_max_window_bits=8; server_no_context_takeover",
                Some((
                    "permessage-deflate; server_no_context_takeover; client_max_window_bits=9; server_max_window_bits=8",
                    Terms { own: side(false, 8), peer: side(true, 9) },
                )),
            ),
            (
                forgetful,
                "permessage-deflate",
                Some((
                    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; server_max_window_bits=10",
                    Terms { own: side(false, 10), peer: side(false, 15) },
                )),
            ),
            (
                forgetful,
                "permessage-deflate; client_max_window_bits; server_max_window_bits=12",
                Some((
                    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=11; server_max_window_bits=10",
                    Terms { own: side(false, 10), peer: side(false, 11) },
                )),
            ),
            (
                ANY,
                "permessage-deflate; client_no_context_takeover",
                Some((
                    "permessage-deflate; client_no_context_takeover",
                    Terms { own: side(true, 15), peer: side(false, 15) },
                )),
            ),
        ];
        for (wanted, offer, expected) in rows {
            let answer = wanted.accept([offer].into_iter());
            let expected = expected.map(|(text, terms)| (text.to_owned(), terms));
            assert_eq!(answer, expected, "{wanted:?}: {offer}");
        }
    }

    #[test]
    fn what_a_server_accepts_the_client_agrees_to() {
        let bits = [None, Some(8), Some(12), Some(15)];
        for number in 0..64 * 16 {
            let offer = |number: usize| Offer {
                client_no_context_takeover: number & 1 > 0,
                server_no_context_takeover: number & 2 > 0,
                client_max_window_bits: bits[number >> 2 & 3],
                server_max_window_bits: bits[number >> 4 & 3],
            };
            let (client, server) = (offer(number), offer(number * 7 + number / 64));
            let header = client.header();
            let (answer, theirs) = server.accept([header.as_str()].into_iter()).unwrap();
            let ours = client.agree([answer.as_str()].into_iter()).unwrap().unwrap();
            assert_eq!(
                (ours.peer, ours.own.takes_over),
                (theirs.own, theirs.peer.takes_over),
                "{header}: {answer}"
            );
            assert!(ours.own.window_bits <= theirs.peer.window_bits, "{header}: {answer}");
        }
    }
}
