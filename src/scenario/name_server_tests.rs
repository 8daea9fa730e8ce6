//! Tests of `connect.resolver`: from text to an address, or to a fault.

use super::tests::{SMALL, load_text};

#[test]
fn a_name_server_is_an_address_and_perhaps_a_port() {
    let rows = [
        ("127.0.0.1:5353", Some("127.0.0.1:5353")),
        ("10.0.0.2", Some("10.0.0.2:53")),
        ("[::1]:5353", Some("[::1]:5353")),
        ("[::1]", Some("[::1]:53")),
        ("::1", Some("[::1]:53")),
        ("10.0.0.2:0", None),
        ("10.0.0.2:65536", None),
        ("10.0.0.256", None),
        ("[::1", None),
        (":::", None),
        ("ns.example.com", None),
        ("", None),
    ];
    for (written, expected) in rows {
        let text = format!("{SMALL}connect = {{ resolver = \"{written}\" }}\n");
        match (load_text(&text, &[]), expected) {
            (Ok(loaded), Some(expected)) => {
                let server = loaded.scenario.groups[0].connect.resolver.unwrap();
                assert_eq!(server.to_string(), expected, "{written}");
            }
            (Err(error), None) => assert!(error.to_string().contains("name server"), "{error}"),
            (other, _) => panic!("{written}: {other:?}"),
        }
    }
}
