//! One connection through a proxy: its bytes are carried, its stage is known, and at one of them it is struck.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::proxy::{Order, Shared};
use super::strike::{DWELL, Effect, Fault, Speaks, Stage, Strike, Way};

/// Messages of the target after which a session is in its middle.
const MIDDLE: u32 = 3;
/// Pieces of a TLS stream from the target after which its session is in its middle: handshake, tickets and upgrade are fewer.
const SECURE_MIDDLE: u32 = 12;

/// Carries one connection of a client to the target.
pub(crate) async fn carry(shared: Arc<Shared>, client: TcpStream, peer: IpAddr) {
    let nth = {
        let mut seen = shared.seen.lock().unwrap();
        let count = seen.entry(peer).or_default();
        *count += 1;
        *count - 1
    };
    let strike = shared.strike.clone().filter(|strike| strike.nth == nth);
    let mut resets = shared.door.resets();
    match &strike {
        Some(Strike { stage: Stage::Connect, fault: Fault::Beside(effect, _, time), .. }) => {
            shared.struck.fetch_add(1, Ordering::SeqCst);
            begin(effect, *time);
        }
        Some(Strike { stage: Stage::Connect, fault: Fault::RestartOf(door), .. }) => {
            shared.struck.fetch_add(1, Ordering::SeqCst);
            door.restart();
        }
        _ => {}
    }
    let Ok(target) = TcpStream::connect(shared.target).await else {
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return;
    };
    let _ = (client.set_nodelay(true), target.set_nodelay(true));
    let mut link = Link {
        speaks: shared.speaks,
        shared: Arc::clone(&shared),
        client,
        target,
        strike,
        nth,
        mode: Mode::Pass,
        head: Vec::new(),
        is_upgraded: false,
        is_closing: false,
        to_client: 0,
        to_target: 0,
        draws: 0x9E37_79B9,
        is_first_late: true,
        is_stopped: false,
    };
    let is_reset = tokio::select! {
        () = link.carry() => false,
        _ = resets.changed() => true,
    };
    if is_reset {
        link.reset();
    }
}

/// Does something beside the connections for so long.
fn begin(effect: &Effect, time: Duration) {
    effect(true);
    let effect = Arc::clone(effect);
    tokio::spawn(async move {
        sleep(time).await;
        effect(false);
    });
}

/// How bytes pass.
enum Mode {
    Pass,
    /// Slowly, while the stage lasts.
    Slowly(Stage, Fault),
    /// Not at all, in these ways.
    Swallow {
        to_client: bool,
        to_target: bool,
    },
}

struct Link {
    speaks: Speaks,
    shared: Arc<Shared>,
    client: TcpStream,
    target: TcpStream,
    strike: Option<Strike>,
    nth: u32,
    mode: Mode,
    /// What has come of the answer's header.
    head: Vec<u8>,
    is_upgraded: bool,
    is_closing: bool,
    /// Pieces that have passed.
    to_client: u32,
    to_target: u32,
    draws: u32,
    is_first_late: bool,
    /// The target may stand still: that the client has gone is told when it goes on, for else both would be told at once.
    is_stopped: bool,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Over,
}

impl Link {
    /// Carries bytes both ways until both have ended, or one is reset.
    async fn carry(&mut self) {
        let (mut from_client, mut from_target) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let (mut client_ended, mut target_ended) = (false, false);
        while !(client_ended && target_ended) {
            let (way, read) = tokio::select! {
                biased;
                read = self.client.read(&mut from_client), if !client_ended => (Way::ToTarget, read),
                read = self.target.read(&mut from_target), if !target_ended => (Way::ToClient, read),
            };
            let flow = match (way, read) {
                (Way::ToTarget, Err(_)) if self.is_stopped => {
                    client_ended = true;
                    Flow::On
                }
                (_, Err(_)) => return self.reset(),
                (Way::ToTarget, Ok(0)) => {
                    client_ended = true;
                    if matches!(self.mode, Mode::Swallow { to_target: true, .. }) {
                        // The target is not to hear of it, so that its connection breaks off.
                        return;
                    }
                    if !self.is_stopped {
                        let _ = self.target.shutdown().await;
                    }
                    Flow::On
                }
                (Way::ToClient, Ok(_)) if client_ended && self.is_stopped => {
                    // It goes on, and has taken what came before the end.
                    self.is_stopped = false;
                    let _ = self.target.shutdown().await;
                    Flow::On
                }
                (Way::ToClient, Ok(0)) => {
                    target_ended = true;
                    if !matches!(self.mode, Mode::Swallow { to_client: true, .. }) {
                        let _ = self.client.shutdown().await;
                    }
                    Flow::On
                }
                (Way::ToTarget, Ok(count)) => self.take(way, &from_client[..count]).await,
                (Way::ToClient, Ok(count)) => self.take(way, &from_target[..count]).await,
            };
            if flow == Flow::Over {
                return;
            }
        }
    }

    /// Takes a piece; an answer's header and what comes right behind it are two.
    async fn take(&mut self, way: Way, bytes: &[u8]) -> Flow {
        if self.speaks != Speaks::WebSocket || self.is_upgraded || way == Way::ToTarget {
            return self.take_piece(way, bytes).await;
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let end = self.head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4 - before);
        let end = end.unwrap_or(bytes.len());
        if self.take_piece(way, &bytes[..end]).await == Flow::Over {
            return Flow::Over;
        }
        self.is_upgraded =
            self.head.starts_with(b"HTTP/1.1 101") && self.head[..before + end].ends_with(b"\r\n\r\n");
        if self.is_upgraded
            && self.is_struck(Stage::Ready, Way::ToTarget)
            && self.strike(Way::ToTarget, &[]).await == Flow::Over
        {
            return Flow::Over;
        }
        if end < bytes.len() { self.take_piece(way, &bytes[end..]).await } else { Flow::On }
    }

    async fn take_piece(&mut self, way: Way, bytes: &[u8]) -> Flow {
        let is_close = way == Way::ToTarget && bytes.first() == Some(&0x88);
        self.is_closing |= self.is_upgraded && is_close;
        if self.is_closing && self.nth == 0 {
            self.strike_at_the_door();
        }
        let stage = self.stage(way);
        let flow = if stage.is_some_and(|stage| self.is_struck(stage, way)) {
            self.strike(way, bytes).await
        } else {
            self.pass(way, bytes).await
        };
        match way {
            Way::ToClient if self.is_upgraded || self.speaks != Speaks::WebSocket => self.to_client += 1,
            Way::ToClient => {}
            Way::ToTarget => self.to_target += 1,
        }
        flow
    }

    fn stage(&self, way: Way) -> Option<Stage> {
        let is_first = if way == Way::ToClient { self.to_client == 0 } else { self.to_target == 0 };
        match self.speaks {
            Speaks::Http => Some(Stage::Token),
            Speaks::WebSocket if !self.is_upgraded => Some(Stage::Upgrade),
            Speaks::WebSocket if self.is_closing => Some(Stage::Close),
            Speaks::WebSocket if self.to_client == 0 => Some(Stage::Ready),
            Speaks::WebSocket => (self.to_client >= MIDDLE).then_some(Stage::Session),
            Speaks::Tls if is_first => Some(Stage::Tls),
            Speaks::Tls => (self.to_client >= SECURE_MIDDLE).then_some(Stage::SecureSession),
        }
    }

    fn is_struck(&self, stage: Stage, way: Way) -> bool {
        self.strike.as_ref().is_some_and(|strike| strike.stage == stage && strike.fault.way() == way)
    }

    /// What is done to who connects next begins when a client ends its first session; once.
    fn strike_at_the_door(&self) {
        let Some(Strike { stage: Stage::Connect, fault, .. }) = &self.shared.strike else { return };
        if !matches!(fault, Fault::Refuse | Fault::DropSyn(_) | Fault::BesideTheDoor(..)) {
            // At the connection itself.
            return;
        }
        if self.shared.struck.swap(1, Ordering::SeqCst) == 1 {
            return;
        }
        match fault {
            Fault::DropSyn(window) => self.shared.door.tell(Order::DropSyn(*window)),
            Fault::BesideTheDoor(effect, time) => begin(effect, *time),
            _ => self.shared.door.tell(Order::Refuse),
        }
    }

    async fn strike(&mut self, way: Way, bytes: &[u8]) -> Flow {
        let Some(Strike { stage, fault, .. }) = self.strike.take() else { return Flow::On };
        self.shared.struck.fetch_add(1, Ordering::SeqCst);
        if !matches!(fault, Fault::Latency | Fault::Jitter | Fault::Rate | Fault::Beside(..)) {
            sleep(DWELL).await;
        }
        match fault {
            Fault::Latency | Fault::Jitter | Fault::Rate | Fault::Slices => {
                self.mode = Mode::Slowly(stage, fault);
                self.pass(way, bytes).await
            }
            Fault::Blackhole => {
                self.mode = Mode::Swallow { to_client: true, to_target: true };
                Flow::On
            }
            Fault::Silence => {
                self.mode = Mode::Swallow { to_client: true, to_target: false };
                Flow::On
            }
            Fault::Reset => {
                self.reset();
                Flow::Over
            }
            Fault::End => self.end().await,
            Fault::CutShort => {
                // A busy machine has several messages in one piece, and half of that may hold whole ones.
                let first = if self.is_upgraded { first_frame(bytes) } else { bytes };
                let _ = self.pass(way, &first[..first.len() / 2]).await;
                self.end().await
            }
            Fault::EndToClient => {
                self.mode = Mode::Swallow { to_client: true, to_target: false };
                let _ = self.client.shutdown().await;
                Flow::On
            }
            Fault::EndToTarget => {
                let flow = self.pass(way, &bytes[..bytes.len() / 2]).await;
                let _ = self.target.shutdown().await;
                self.mode = Mode::Swallow { to_client: false, to_target: true };
                flow
            }
            Fault::CorruptToClient | Fault::CorruptToTarget => {
                let mut bytes = bytes.to_vec();
                // The first byte says what it is in every protocol here. Of a TLS record in a session the last one is taken: it
                // belongs to what makes the record authentic.
                match bytes.last_mut().filter(|_| stage == Stage::SecureSession) {
                    Some(last) => *last ^= 0x01,
                    None => bytes.iter_mut().take(1).for_each(|first| *first ^= 0x70),
                }
                let flow = self.pass(way, &bytes).await;
                // Whoever ends a connection with something unread resets it: what comes of the byte is to be seen alone.
                self.mode =
                    Mode::Swallow { to_client: way == Way::ToClient, to_target: way == Way::ToTarget };
                flow
            }
            Fault::Restart => {
                self.shared.door.restart();
                self.reset();
                Flow::Over
            }
            Fault::RestartOf(door) => {
                door.restart();
                self.pass(way, bytes).await
            }
            Fault::Beside(effect, _, time) => {
                begin(&effect, time);
                self.is_stopped = way == Way::ToTarget;
                // What the target had sent just before is as late as what it would have sent.
                let is_late = stage == Stage::Ready && way == Way::ToTarget;
                sleep(if is_late { time } else { DWELL }).await;
                self.pass(way, bytes).await
            }
            Fault::Refuse | Fault::DropSyn(_) | Fault::BesideTheDoor(..) => self.pass(way, bytes).await,
        }
    }

    /// Lets a piece pass as the mode has it.
    async fn pass(&mut self, way: Way, bytes: &[u8]) -> Flow {
        let slowly = match &self.mode {
            Mode::Swallow { to_client, to_target } => {
                let is_swallowed = if way == Way::ToClient { *to_client } else { *to_target };
                if is_swallowed {
                    return Flow::On;
                }
                None
            }
            Mode::Slowly(stage, fault) if way == Way::ToClient && self.stage(way) == Some(*stage) => {
                Some(fault.clone())
            }
            _ => None,
        };
        match slowly {
            Some(Fault::Latency) => sleep(DWELL).await,
            Some(Fault::Jitter) => {
                let least = if std::mem::take(&mut self.is_first_late) { 1.0 } else { 0.2 };
                sleep(DWELL.mul_f64(least + 0.4 * self.draw())).await;
            }
            Some(Fault::Rate) => {
                let size = bytes.len().div_ceil(4).max(1);
                for piece in bytes.chunks(size) {
                    sleep(DWELL / 4).await;
                    if self.write(way, piece).await == Flow::Over {
                        return Flow::Over;
                    }
                }
                return Flow::On;
            }
            Some(Fault::Slices) => {
                for (nth, byte) in bytes.chunks(1).enumerate() {
                    if nth < 10 {
                        sleep(Duration::from_millis(1)).await;
                    }
                    if self.write(way, byte).await == Flow::Over {
                        return Flow::Over;
                    }
                }
                return Flow::On;
            }
            _ => {}
        }
        self.write(way, bytes).await
    }

    async fn write(&mut self, way: Way, bytes: &[u8]) -> Flow {
        let to = if way == Way::ToClient { &mut self.client } else { &mut self.target };
        match to.write_all(bytes).await {
            Ok(()) => Flow::On,
            Err(_) => {
                self.reset();
                Flow::Over
            }
        }
    }

    /// A number from 0 to 1 (xorshift32).
    fn draw(&mut self) -> f64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 17;
        self.draws ^= self.draws << 5;
        f64::from(self.draws) / f64::from(u32::MAX)
    }

    /// Makes the end of both connections a reset. They end when the link is dropped.
    fn reset(&self) {
        for stream in [&self.client, &self.target] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Ends both connections, and takes what still comes, so that the end is no reset.
    async fn end(&mut self) -> Flow {
        let _ = (self.client.shutdown().await, self.target.shutdown().await);
        let mut rest = [0; 4096];
        let gone = async {
            while self.client.read(&mut rest).await.is_ok_and(|count| count > 0) {}
            while self.target.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        };
        let _ = timeout(Duration::from_secs(1), gone).await;
        Flow::Over
    }
}

/// The first WebSocket frame of the target's in a piece, or what there is of it (RFC 6455 §5.2).
fn first_frame(bytes: &[u8]) -> &[u8] {
    let length = match bytes {
        [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [_, short @ 0..=125, ..] => 2 + usize::from(*short),
        _ => bytes.len(),
    };
    &bytes[..length.min(bytes.len())]
}
