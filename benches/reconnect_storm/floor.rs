//! The floor: a bare tokio loop that does the same exchanges. Fixed bytes; nothing is looked at but where an answer ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};

use crate::scenario::TOKEN_CONNECTIONS;

/// So many clients start over so many seconds, and each has so many sessions.
pub(crate) fn floor(address: SocketAddr, clients: usize, sessions_each: usize, over: f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let token = fetch_token(address).await;
        let token_request = Arc::new(token_request());
        let upgrade = Arc::new(upgrade_request(&token));
        let idle = Arc::new(Mutex::new(Vec::new()));
        let slots = Arc::new(Semaphore::new(TOKEN_CONNECTIONS));
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (token_request, upgrade) = (Arc::clone(&token_request), Arc::clone(&upgrade));
            let (idle, slots) = (Arc::clone(&idle), Arc::clone(&slots));
            tasks.push(tokio::spawn(async move {
                // Spread as the clients of the scenario are.
                tokio::time::sleep(Duration::from_secs_f64(over * client as f64 / clients as f64)).await;
                for _ in 0..sessions_each {
                    floor_token(address, &token_request, &idle, &slots).await;
                    floor_session(address, &upgrade).await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn token_request() -> Vec<u8> {
    let form = "grant_type=client_credentials&client_id=bench&client_secret=bench";
    format!(
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

fn upgrade_request(token: &str) -> Vec<u8> {
    format!(
        "GET /api/v2/analytics/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

async fn fetch_token(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&token_request()).await.unwrap();
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer).await.unwrap();
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

async fn floor_token(address: SocketAddr, request: &[u8], idle: &Mutex<Vec<TcpStream>>, slots: &Semaphore) {
    let _slot = slots.acquire().await.unwrap();
    let mut buffer = [0; 2048];
    loop {
        let kept = idle.lock().await.pop();
        let is_new = kept.is_none();
        let mut stream = match kept {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.unwrap(),
        };
        // The answer is small and comes in one segment.
        let answered = async {
            stream.write_all(request).await?;
            stream.read(&mut buffer).await
        };
        match answered.await {
            Ok(count) if count > 0 => return idle.lock().await.push(stream),
            // The target lets go of a connection that was not used for a while.
            _ => assert!(!is_new, "the target closed a new token connection"),
        }
    }
}

async fn floor_session(address: SocketAddr, upgrade: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(upgrade).await.unwrap();
    let mut buffer = [0; 512];
    let n = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..n].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&buffer[..n]));
    // The close frame, its answer, the end.
    assert!(stream.read(&mut buffer).await.unwrap() > 0, "no close frame");
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
    while stream.read(&mut buffer).await.unwrap() > 0 {}
}
