//! One HTTP connection.
//!
//! In: a byte stream, requests. Out: answers, or what went wrong. Whoever waits for an answer drives the connection itself, so that an
//! exchange costs no task and wakes no other thread.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use futures::FutureExt;
use http::response::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use crate::drive::network::wire::Wire;

/// A connection, and the means to ask over it.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
}

/// What takes in the pieces of a body, with the status of its answer.
pub(in crate::drive::network) type TakePiece<'a> = &'a mut (dyn FnMut(StatusCode, &[u8]) + Send);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection's own.
    Hyper(hyper::Error),
    /// The body's own, or that it is too large.
    Body(Box<dyn Error + Send + Sync>),
}

impl Fault {
    /// Whether the request was not sent, because the connection had ended before.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self, Self::Hyper(error) if error.is_canceled())
    }
}

impl Link {
    pub(super) async fn over(wire: Wire) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(wire)).await?;
        Ok(Self { sender, connection: Box::pin(connection) })
    }

    /// One request and its answer, of whose body no more than `cap` bytes are read.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        cap: usize,
    ) -> Result<(Parts, Bytes), Fault> {
        let Self { sender, connection } = self;
        let answering = async {
            let (parts, body) = sender.send_request(request).await.map_err(Fault::Hyper)?.into_parts();
            Ok((parts, read(Limited::new(body, cap)).await.map_err(Fault::Body)?))
        };
        drive(connection, answering).await
    }

    /// The same, whose body goes to `take` as it comes.
    pub(super) async fn exchange_in_pieces(
        &mut self,
        request: Request<Full<Bytes>>,
        cap: usize,
        take: TakePiece<'_>,
    ) -> Result<Parts, Fault> {
        let Self { sender, connection } = self;
        let answering = async {
            let (parts, body) = sender.send_request(request).await.map_err(Fault::Hyper)?.into_parts();
            let mut body = Limited::new(body, cap);
            while let Some(frame) = body.frame().await {
                if let Ok(piece) = frame.map_err(Fault::Body)?.into_data() {
                    take(parts.status, &piece);
                }
            }
            Ok(parts)
        };
        drive(connection, answering).await
    }

    /// Whether the connection is good for a request at once.
    pub(super) fn is_free(&mut self) -> bool {
        let Self { sender, connection } = self;
        matches!(drive(connection, sender.ready()).now_or_never(), Some(Ok(())))
    }
}

/// Reads a body to its end. Most come in one piece, which is not copied.
pub(in crate::drive::network) async fn read<B>(mut body: B) -> Result<Bytes, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.into() })
}

/// Drives `connection` until `waiting` has what it waits for.
async fn drive<F: Future>(
    connection: &mut Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
    waiting: F,
) -> F::Output {
    let mut waiting = pin!(waiting);
    let mut is_over = false;
    poll_fn(|cx| {
        // What waits may have given the connection something to do, and the other way about.
        for _ in 0..2 {
            if !is_over {
                // How it ended is told to what waits.
                is_over = connection.as_mut().poll(cx).is_ready();
            }
            if let Poll::Ready(output) = waiting.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    #[tokio::test]
    async fn a_body_is_whole_in_however_many_pieces_it_comes() {
        for pieces in [vec![], vec!["all"], vec!["", "a", "", "bc", "d"]] {
            let frames =
                pieces.iter().map(|piece| Ok::<_, ()>(Frame::data(Bytes::from_static(piece.as_bytes()))));
            let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
            assert_eq!(read(body).await.unwrap(), pieces.concat());
        }
    }
}
