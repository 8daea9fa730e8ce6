//! Limits of requests in a window of time.
//!
//! In: tables of `[target]`. Out: [`WindowLimit`]s and [`RequestLimit`]s.

use std::time::Duration;

use crate::declare::{
    At, HEADER_NAME, Kind, above_zero, flat, int, list, refusing_status, ruled, table, then, words,
};

table! {
    /// A limit of requests in a window of time.
    #[derive(Copy, PartialEq, Eq)]
    pub struct WindowLimit {
        /// How many.
        count: u32, needed "a limit is { count = 10, per = \"60s\" }, and status where it is not 429" => int::<u32>(1..=1_000_000);
        /// The length of the window; it begins with the first request in it.
        per: Duration, needed "a limit is { count = 10, per = \"60s\" }, and status where it is not 429" => above_zero();
        /// The status beyond it (RFC 6585 §4).
        status: u16 = 429 => refusing_status();
        /// Whether the refusal says when to come back (`Retry-After`, RFC 9110 §10.2.3).
        retry_after: bool = true;
    }
}

flat! { WindowLimit: WindowLimit => |limit, _: &_| Some(limit) }

table! {
    /// A limit of the requests for all routes together.
    #[derive(PartialEq, Eq)]
    pub struct RequestLimit {
        /// Whose requests are counted together.
        of: LimitOf = LimitOf::Token;
        /// Names of the headers that tell how many were counted, how many are allowed, and in how many seconds the window ends. Without it: none tell.
        headers: Option<[String; 3]> = None => three_headers();
        ..
        /// How many.
        limit: WindowLimit;
    }
}

words! {
    /// Whose requests are counted together.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum LimitOf {
        /// Those with one token.
        Token = "token",
        /// Those of one client id.
        Client = "client",
    }
}

/// The names of three headers: counted, allowed, seconds until the window ends.
pub(crate) fn three_headers() -> impl Kind<Out = [String; 3]> {
    let names = list(
        ruled(HEADER_NAME),
        "three header names are needed: counted, allowed, seconds until the window ends",
    );
    then(names.least(3).most(3), |names: Vec<String>, _: &At<'_>| names.try_into().ok())
}
