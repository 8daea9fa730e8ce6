//! What permessage-deflate costs a client in memory, beside the same client without it and zlib alone.
//!
//! Clients take turns at nothing, at receiving, and at receiving and sending; the zlib states of as many stand in a process of their own, after
//! messages of the same size. A client with compression should be little more than the two together.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::scenario::scenario;
use crate::spent::resident_of;
use crate::target::Target;
use crate::{Size, start_resurge, start_s};

/// Bytes of padding of a message; with it, about what a browser application sends.
const PADDING: usize = 300;
/// Messages each way until the memory is looked at.
const MESSAGES: usize = 7;

/// What goes over the sessions.
#[derive(Clone, Copy)]
struct Traffic {
    what: &'static str,
    receives: bool,
    sends: bool,
}

const TRAFFIC: [Traffic; 3] = [
    Traffic { what: "without a message", receives: false, sends: false },
    Traffic { what: "receiving", receives: true, sends: false },
    Traffic { what: "receiving and sending", receives: true, sends: true },
];

/// Prints the three, each as bytes for a client.
pub(crate) fn show_deflate(size: Size) {
    let clients = size.deflate_clients;
    // A client that has sent holds 350 KB, and so does its target.
    println!("Resident memory for each of {clients} clients with permessage-deflate, windows of 15 bits:");
    for traffic in TRAFFIC {
        let each = |resident: &dyn Fn(usize) -> f64| {
            (resident(clients) - resident(1)) * 1024.0 / (clients - 1) as f64
        };
        let with = each(&|clients| client_kib(clients, traffic, true));
        let without = each(&|clients| client_kib(clients, traffic, false));
        let zlib = each(&|clients| zlib_kib(clients, traffic));
        println!(
            "  {}: {with:.0} bytes; {without:.0} without compression and {zlib:.0} for zlib alone: ratio {:.3}",
            traffic.what,
            with / (without + zlib)
        );
    }
}

/// Resident memory of `resurge run` while so many clients are connected.
fn client_kib(clients: usize, traffic: Traffic, is_compressed: bool) -> f64 {
    let mut rules = vec![format!("compression={is_compressed}")];
    if traffic.receives {
        rules.push("messages_every=1s".to_owned());
        rules.push(format!("message_padding={PADDING}"));
    }
    let target = Target::start_with("never", false, &rules);
    let folder = tempfile::tempdir().unwrap();
    let mut text = scenario(target.address, clients, 60, start_s(clients));
    text.push_str(&format!("[groups.connect]\ncompression = {is_compressed}\n"));
    if traffic.sends {
        let said = words(PADDING);
        text.push_str(&format!("[groups.session]\nsend = {{ rate = \"1/s\", text = \"{said}\" }}\n"));
    }
    let mut process = start_resurge(folder.path(), &text);
    target.wait_for_sessions(clients);
    // Each has had its messages, and what the connecting needed is given back.
    std::thread::sleep(Duration::from_secs(MESSAGES as u64));
    let kib = resident_of(process.id());
    process.kill().unwrap();
    process.wait().unwrap();
    kib
}

/// Resident memory of a process that holds the zlib states of so many clients.
fn zlib_kib(clients: usize, traffic: Traffic) -> f64 {
    let flag = |is: bool| u8::from(is).to_string();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--zlib", &clients.to_string(), &flag(traffic.receives), &flag(traffic.sends)])
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kib = resident_of(process.id());
    process.kill().unwrap();
    process.wait().unwrap();
    kib
}

/// The process that does: it says when they are there, and waits to be ended.
pub(crate) fn zlib_alone(clients: usize, receives: bool, sends: bool) {
    let message = words(PADDING).into_bytes();
    let compressed = || {
        let mut compress = Compress::new_with_window_bits(Compression::default(), false, 15);
        let mut wire = Vec::with_capacity(4096);
        for _ in 0..MESSAGES {
            compress.compress_vec(&message, &mut wire, FlushCompress::Sync).unwrap();
        }
        (compress, wire)
    };
    let (_, wire) = compressed();
    let mut inflaters = Vec::new();
    let mut compressors = Vec::new();
    for _ in 0..clients {
        if receives {
            let mut inflate = Decompress::new_with_window_bits(false, 15);
            let mut clear = Vec::with_capacity(MESSAGES * 2 * PADDING);
            inflate.decompress_vec(&wire, &mut clear, FlushDecompress::Sync).unwrap();
            inflaters.push(Box::new(inflate));
        }
        if sends {
            compressors.push(Box::new(compressed().0));
        }
    }
    println!("{} {}", inflaters.len(), compressors.len());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// So many bytes of text that compresses as text does.
fn words(bytes: usize) -> String {
    (0..bytes / 6).map(|number| format!("{:05} ", number * 7_919 % 100_000)).collect()
}
