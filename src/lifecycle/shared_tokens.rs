//! One token for a group: who fetches it, who waits, who takes what is there. Without I/O.
//!
//! In: what a client needs. Out: [`TokenVerdict`]. At most one request is under way at a time (single-flight).

use crate::clock::Moment;

use super::event::TokenFacts;

/// What a client that needs the group's token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVerdict {
    /// Takes the one that is there.
    Use(TokenFacts),
    /// Waits for the request under way, then asks again.
    Wait,
    /// Fetches it: this client's request is the one under way.
    Lead,
}

/// The state of a group's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SharedTokens {
    current: Option<TokenFacts>,
    under_way: bool,
}

impl SharedTokens {
    /// A client needs a token requested no earlier than `not_before` that is valid until `valid_until`.
    pub fn request(&mut self, not_before: Moment, valid_until: Moment) -> TokenVerdict {
        if let Some(facts) = self.current
            && facts.requested >= not_before
            && facts.expires >= valid_until
        {
            return TokenVerdict::Use(facts);
        }
        if std::mem::replace(&mut self.under_way, true) { TokenVerdict::Wait } else { TokenVerdict::Lead }
    }

    /// The request under way has ended: with a token, or with none.
    pub fn settle(&mut self, token: Option<TokenFacts>) {
        self.under_way = false;
        if token.is_some() {
            self.current = token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ns: u64) -> Moment {
        Moment::from_ns(ns)
    }

    #[test]
    fn one_leads_the_others_wait_and_then_use_what_came() {
        let mut tokens = SharedTokens::default();
        assert_eq!(tokens.request(at(5), Moment::ZERO), TokenVerdict::Lead);
        assert_eq!(tokens.request(at(6), Moment::ZERO), TokenVerdict::Wait);
        let facts = TokenFacts::new(at(7), at(8), at(100));
        tokens.settle(Some(facts));
        assert_eq!(tokens.request(at(6), Moment::ZERO), TokenVerdict::Use(facts));
        assert_eq!(tokens.request(at(6), at(100)), TokenVerdict::Use(facts));
        assert_eq!(tokens.request(at(6), at(101)), TokenVerdict::Lead, "it would not last long enough");
        tokens.settle(None);
        assert_eq!(
            tokens.request(at(9), Moment::ZERO),
            TokenVerdict::Lead,
            "it is older than the disconnect"
        );
    }

    #[test]
    fn a_failed_request_lets_the_next_one_lead() {
        let mut tokens = SharedTokens::default();
        assert_eq!(tokens.request(at(1), Moment::ZERO), TokenVerdict::Lead);
        tokens.settle(None);
        assert_eq!(tokens.request(at(1), Moment::ZERO), TokenVerdict::Lead);
        assert_eq!(tokens.request(at(1), Moment::ZERO), TokenVerdict::Wait);
    }
}
