//! Inputs from inputs: bits flipped, pieces cut out, doubled, taken from elsewhere, numbers made extreme, words of the format put in.
//!
//! In: a corpus, a dictionary, draws. Out: another input. The same draws give the same input.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// The longest input.
const LONGEST: usize = 64 * 1024;
/// Bytes at which formats have their edges.
const EDGES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'\n', b'\r', b'{', b'9', b'-'];
/// Numbers at which arithmetic has its edges.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1e308",
    "1e-400",
    "nan",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "0.1",
    "99999999999999999999999999",
];

/// Draws below `n`; 0 for 0.
pub(crate) fn below(draws: &mut ChaCha8Rng, n: usize) -> usize {
    if n == 0 { 0 } else { (draws.next_u64() % n as u64) as usize }
}

/// A changed input.
pub(crate) fn mutated(draws: &mut ChaCha8Rng, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = corpus[below(draws, corpus.len())].clone();
    // Mostly few changes: many leave nothing of the form.
    let changes = 1 + below(draws, 4) * below(draws, 3);
    for _ in 0..changes {
        change(draws, &mut input, corpus, words);
        input.truncate(LONGEST);
    }
    input
}

fn change(draws: &mut ChaCha8Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&[u8]]) {
    let at = below(draws, input.len() + 1);
    let length = (1 + below(draws, 16) * below(draws, 8)).min(input.len() - at.min(input.len()));
    let piece = at..at + length;
    match below(draws, 12) {
        0 if at < input.len() => input[at] ^= 1 << below(draws, 8),
        1 if at < input.len() => input[at] = EDGES[below(draws, EDGES.len())],
        2 if at < input.len() => input[at] = (draws.next_u64() & 0xff) as u8,
        3 => drop(input.drain(piece)),
        4 => {
            let copy = input[piece].to_vec();
            let times = 1 + below(draws, 6);
            for _ in 0..times {
                insert(input, at, &copy);
            }
        }
        5 if !words.is_empty() => insert(input, at, words[below(draws, words.len())]),
        6 if !words.is_empty() => drop(input.splice(piece, words[below(draws, words.len())].iter().copied())),
        7 => {
            let other = &corpus[below(draws, corpus.len())];
            let from = below(draws, other.len() + 1);
            let taken = other[from..(from + 1 + below(draws, 200)).min(other.len())].to_vec();
            drop(input.splice(piece, taken));
        }
        8 => input.truncate(at),
        9 => insert(input, at, &[EDGES[below(draws, EDGES.len())]]),
        10 => replace_number(draws, input, at),
        _ => {
            // A little-endian word at its edge.
            let word =
                [0_u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, draws.next_u64() as u32][below(draws, 6)];
            if input.len() >= 4 {
                let at = at.min(input.len() - 4);
                input[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() + piece.len() <= LONGEST {
        drop(input.splice(at.min(input.len())..at.min(input.len()), piece.iter().copied()));
    }
}

/// Replaces the next number behind `at` by one at an edge.
fn replace_number(draws: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let Some(start) = input[at.min(input.len())..].iter().position(u8::is_ascii_digit).map(|skip| at + skip)
    else {
        return;
    };
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(input.splice(start..start + length, NUMBERS[below(draws, NUMBERS.len())].bytes()));
}
