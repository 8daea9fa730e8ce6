//! Secrets stay where they were put: unique texts are planted as every kind of secret, everything is run against a service that gives back whatever it is sent,
//! and all that comes out (files, streams, metrics, panics) is searched for them, in clear, in base64, in hex, compressed.

mod home;
mod hostile;
mod messages;
mod runs;
mod scenario;
mod search;
mod target;
mod tickets;

use std::io::Write as _;

use home::Home;

#[test]
fn a_planted_canary_is_found_in_every_form() {
    let home = Home::new();
    let word = home.canaries.get("ticket").text();
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let packed = {
        let mut packer = flate2::write::DeflateEncoder::new(b"HEAD".to_vec(), flate2::Compression::best());
        packer.write_all(format!("{} and {word}", "x".repeat(99)).as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let forms: Vec<Vec<u8>> = vec![
        word.clone().into_bytes(),
        url::form_urlencoded::byte_serialize(word.as_bytes()).collect::<String>().into_bytes(),
        serde_json::to_vec(&word).unwrap(),
        encode(&word).into_bytes(),
        encode(&format!("x{word}")).into_bytes(),
        encode(&format!("xy{word}z")).into_bytes(),
        word.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        format!("{:?}", word.as_bytes()).into_bytes(),
        packed,
    ];
    for (number, form) in forms.iter().enumerate() {
        let folder = home.out().join(format!("{number}/deep"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("file"),
            [b"before ".as_slice(), form].concat().split_off(if number == 8 { 7 } else { 0 }),
        )
        .unwrap();
        let found = home.leaks();
        assert_eq!(
            found.iter().filter(|leak| leak.starts_with(&format!("{number}/"))).count().min(1),
            1,
            "{number}: {found:?}"
        );
    }
    std::fs::write(home.out().join(format!("{}.txt", home.canaries.get("cookie").word())), "").unwrap();
    assert!(home.leaks().iter().any(|leak| leak.contains("cookie as text")), "names of files count");
}
