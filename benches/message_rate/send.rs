//! The sending process: answers upgrades and sends messages like those of the embedded target.
//!
//! In: how many clients, and what they are sent. Out: messages; its address and how long it took, on its standard output.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use resurge::clock::Clock;
use resurge::service::message::MessageText;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Load;

/// A close frame with code 1000.
const CLOSE: &[u8] = &[0x88, 0x02, 0x03, 0xe8];
/// Sequence numbers begin here, so that all have as many digits.
const FIRST_SEQUENCE: u64 = 1_000_000_000;

/// The sender: once all clients are connected, sends everything, and a close frame where there were messages. Prints its
/// address, `connected` where only memory is looked at, and how long it took until every client had answered the close.
pub(crate) fn send_all(load: Load) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async move {
        let clock = Clock::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        say(&listener.local_addr().unwrap().to_string());
        let (go, begun) = watch::channel(false);
        let connected = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for number in 0..load.clients {
            let (stream, _) = listener.accept().await.unwrap();
            let (begun, connected) = (begun.clone(), Arc::clone(&connected));
            tasks.push(tokio::spawn(serve(stream, load, number, clock, begun, connected)));
        }
        while connected.load(Ordering::Relaxed) < load.clients {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if load.is_for_memory() {
            say("connected");
        }
        let begin = clock.now();
        go.send_replace(true);
        for task in tasks {
            task.await.unwrap();
        }
        say(&(clock.now() - begin).as_secs_f64().to_string());
    });
}

impl Load {
    fn is_for_memory(self) -> bool {
        self.burst == 1
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn serve(
    mut stream: TcpStream,
    load: Load,
    number: u64,
    clock: Clock,
    mut begun: watch::Receiver<bool>,
    connected: Arc<AtomicU64>,
) {
    stream.set_nodelay(true).unwrap();
    upgrade(&mut stream).await;
    connected.fetch_add(1, Ordering::Relaxed);
    begun.wait_for(|begun| *begun).await.unwrap();
    let mut batch = Batch::new(load.burst, clock);
    let begin = clock.now() + load.every.mul_f64(number as f64 / load.clients as f64);
    let mut sent = 0;
    while sent < load.messages_each {
        if !load.every.is_zero() {
            let due = begin + load.every * (sent / load.burst) as u32;
            tokio::time::sleep_until(clock.instant(due).into()).await;
        }
        let count = load.burst.min(load.messages_each - sent);
        // A receiver that is ended while messages flow has had its memory looked at; elsewhere the counts would tell.
        if stream.write_all(batch.write(FIRST_SEQUENCE + sent, count)).await.is_err() {
            return;
        }
        sent += count;
    }
    let mut buffer = [0; 256];
    if load.messages_each > 0 && stream.write_all(CLOSE).await.is_err() {
        return;
    }
    // The answer to the close, or the client's own goodbye.
    while stream.read(&mut buffer).await.is_ok_and(|n| n == buffer.len()) {}
}

async fn upgrade(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client asks for an upgrade");
    }
    let text = String::from_utf8(request).unwrap();
    let key = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    });
    let accept = derive_accept_key(key.unwrap().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Frames of one write, made once; only their numbers are written anew.
struct Batch {
    bytes: Vec<u8>,
    frame: usize,
    sequence_at: usize,
    due_at: usize,
    clock: Clock,
}

impl Batch {
    fn new(burst: u64, clock: Clock) -> Self {
        let text = MessageText::new(0).write(FIRST_SEQUENCE, clock.unix_us(clock.now()));
        let length = u8::try_from(text.len()).unwrap();
        // RFC 6455 §5.2: up to 125 bytes the length is one byte, up to 65,535 it is two more.
        let head = if length < 126 { vec![0x81, length] } else { vec![0x81, 126, 0, length] };
        let behind = |key: &str| head.len() + text.find(key).unwrap() + key.len();
        let (sequence_at, due_at) = (behind("\"seq\":"), behind("\"due_us\":"));
        let frame = [head.as_slice(), text.as_bytes()].concat();
        Self { bytes: frame.repeat(burst as usize), frame: frame.len(), sequence_at, due_at, clock }
    }

    /// `count` messages from `sequence` on, due now.
    fn write(&mut self, sequence: u64, count: u64) -> &[u8] {
        let due = self.clock.unix_us(self.clock.now());
        let frames = self.bytes.chunks_exact_mut(self.frame).take(count as usize);
        for (frame, sequence) in frames.zip(sequence..) {
            write_digits(&mut frame[self.sequence_at..self.sequence_at + 10], sequence);
            write_digits(&mut frame[self.due_at..self.due_at + 16], due);
        }
        &self.bytes[..count as usize * self.frame]
    }
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
