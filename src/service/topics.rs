//! Topics as requests and messages name them.
//!
//! In: JSON. Out: names. No I/O.

use serde_json::Value;

/// The longest list that is looked at; what a ticket may have is decided by the rules.
const MOST: usize = 100_000;

/// The topics that stand at `pointer` (JSON Pointer, RFC 6901): a list of texts, or of objects with an `id`. `None`: there is no such
/// list.
pub(super) fn topics_at(json: &Value, pointer: &str) -> Option<Vec<String>> {
    let list = json.pointer(pointer)?.as_array().filter(|list| list.len() <= MOST)?;
    list.iter().map(|item| item.as_str().or_else(|| item.get("id")?.as_str()).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn topics_are_texts_or_objects_with_an_id() {
        let found = |json: Value, pointer| topics_at(&json, pointer);
        let both = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(found(json!([{ "id": "a" }, "b"]), ""), both);
        assert_eq!(found(json!({ "topics": ["a", "b"] }), "/topics"), both);
        assert_eq!(found(json!([]), ""), Some(vec![]));
        for wrong in [json!([1]), json!([{ "name": "a" }]), json!("a"), json!({}), json!(null)] {
            assert_eq!(found(wrong.clone(), ""), None, "{wrong}");
        }
    }
}
