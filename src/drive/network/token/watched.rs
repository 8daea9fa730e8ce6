//! A request for a token, watched: how long it may take, and that its end is told.
//!
//! In: the request, a deadline. Out: its answer, or that none came in time; one sample for each whose end was seen.

use std::future::Future;
use std::pin::Pin;

use crate::clock::Moment;
use crate::drive::network::group_sink::GroupSink;
use crate::sample::{Outcome, Request, RequestAnswer, Sample};

use super::answer::{Refusal, end_of};
use super::grant::TokenGrant;

/// Waits for `asking`, boxed for a client waits in it only briefly, until `deadline`, and tells how it ended.
pub(super) async fn watched(
    sink: &GroupSink,
    request: Request,
    deadline: Moment,
    asking: Pin<Box<impl Future<Output = Result<TokenGrant, Refusal>>>>,
) -> Result<TokenGrant, Refusal> {
    let began = sink.clock().now();
    let answered = tokio::time::timeout(deadline.since(began), asking).await;
    let answered = answered.unwrap_or(Err(Refusal::of_connection(Outcome::Timeout, RequestAnswer::Timeout)));
    let now = sink.clock().now();
    let end = end_of(request, &answered, now.since(began));
    sink.send(now, Sample::Request(Box::new(end))).await;
    answered
}
