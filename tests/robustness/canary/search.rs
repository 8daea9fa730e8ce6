//! Canaries, and the search for them.
//!
//! In: names of secrets, bytes and folders. Out: texts to plant, and where they came out, in whatever form.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

/// A secret that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Canary {
    /// What it is.
    pub(crate) name: &'static str,
    /// What no encoding of texts changes but base64 and hex.
    core: String,
    /// The environment variable that holds it.
    pub(crate) variable: String,
}

impl Canary {
    fn new(name: &'static str, number: usize) -> Self {
        let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let core = format!("cNrY{letters}{:04x}", 0xb17d + 0x1357 * number);
        let variable = format!("CNRY_{}", name.to_ascii_uppercase().replace('-', "_"));
        Self { name, core, variable }
    }

    /// A secret that is as it is: what a program made that knows nothing of canaries.
    pub(crate) fn as_is(name: &'static str, core: &str) -> Self {
        let variable = format!("CNRY_{}", name.to_ascii_uppercase().replace('-', "_"));
        Self { name, core: core.to_owned(), variable }
    }

    /// The secret: visible ASCII, of which every encoding makes something else.
    pub(crate) fn text(&self) -> String {
        format!("{}+/={}~", self.core, self.core)
    }

    /// The same where only a word may stand, as an error code.
    pub(crate) fn word(&self) -> &str {
        &self.core
    }

    /// Everything that it may look like: itself (also percent-encoded, escaped for JSON or HTML: its core stays), hex, base64.
    fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let bytes = self.core.as_bytes();
        let hex = |upper: bool| -> String {
            bytes
                .iter()
                .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
                .collect()
        };
        let listed = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let mut forms = vec![
            ("text", bytes.to_vec()),
            ("lower case", self.core.to_ascii_lowercase().into_bytes()),
            ("hex", hex(false).into_bytes()),
            ("hex", hex(true).into_bytes()),
            ("a list of bytes", listed.into_bytes()),
        ];
        for alphabet in [&STANDARD, &URL_SAFE] {
            for shift in 0..3 {
                forms.push(("base64", base64_at(bytes, alphabet, shift)));
            }
        }
        forms
    }
}

/// What is the same of `bytes` in base64, whatever stands around them, where they begin `shift` bytes into a group of three.
fn base64_at(bytes: &[u8], alphabet: &base64::alphabet::Alphabet, shift: usize) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode(&padded);
    let first = (shift * 8).div_ceil(6);
    text.as_bytes()[first..padded.len() * 8 / 6].to_vec()
}

/// All canaries of a test.
#[derive(Debug, Clone)]
pub(crate) struct Canaries(pub(crate) Vec<Canary>);

impl Canaries {
    pub(crate) fn new(names: &[&'static str]) -> Self {
        Self(names.iter().enumerate().map(|(number, name)| Canary::new(name, number)).collect())
    }

    pub(crate) fn get(&self, name: &str) -> &Canary {
        self.0.iter().find(|canary| canary.name == name).unwrap()
    }

    /// What of them is in `bytes`, plain or compressed.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let unpacked = unpacked(bytes);
        for canary in &self.0 {
            for (form, pattern) in canary.forms() {
                let finder = memchr::memmem::Finder::new(&pattern);
                for (packing, text) in
                    std::iter::once(("", bytes)).chain(unpacked.iter().map(|(p, t)| (*p, &t[..])))
                {
                    if let Some(at) = finder.find(text) {
                        let around = &text[at.saturating_sub(60)..(at + pattern.len() + 20).min(text.len())];
                        let around = String::from_utf8_lossy(around).into_owned();
                        found.push(format!("{} as {form}{packing}: …{around}…", canary.name));
                    }
                }
            }
        }
        found
    }

    /// What of them is in the names and contents of the files below `folder`.
    pub(crate) fn found_below(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for file in files_below(folder) {
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            let bytes = std::fs::read(&file).unwrap();
            let here = self.found_in(name.as_bytes()).into_iter().chain(self.found_in(&bytes));
            found.extend(here.map(|what| format!("{name}: {what}")));
        }
        found
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// What compressed streams in `bytes` hold: such as begin at the start or behind a short head, as a baseline's does.
fn unpacked(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut streams = Vec::new();
    for at in 0..bytes.len().min(24) {
        let mut text = Vec::new();
        // What is no such stream ends with an error; what came until then counts.
        let _ = flate2::read::GzDecoder::new(&bytes[at..]).read_to_end(&mut text);
        let _ = flate2::read::ZlibDecoder::new(&bytes[at..]).read_to_end(&mut text);
        let _ = flate2::read::DeflateDecoder::new(&bytes[at..]).read_to_end(&mut text);
        if !text.is_empty() {
            streams.push((", compressed", text));
        }
    }
    streams
}
