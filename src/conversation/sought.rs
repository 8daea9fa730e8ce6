//! JSON Pointers (RFC 6901), all of a group's at once.
//!
//! In: pointers, then messages. Out: the value at each of them, by one pass over the message that builds nothing else: what no pointer leads to is
//! skipped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::value::Value;

/// Lists and maps within each other, at most.
const DEEPEST: usize = 128;

/// The place of a pointer's value among those found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u16);

/// Pointers to look for.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    root: Node,
    slots: u16,
}

/// A place in a message that some pointer leads to, or through.
#[derive(Debug, Clone, Default)]
struct Node {
    slot: Option<Slot>,
    below: Vec<Step>,
}

/// What leads on: a key, which in a list is an index where it can be one.
#[derive(Debug, Clone)]
struct Step {
    key: Box<str>,
    index: Option<usize>,
    node: Node,
}

impl Node {
    fn at_index(&self, index: usize) -> Option<&Self> {
        self.below.iter().find(|step| step.index == Some(index)).map(|step| &step.node)
    }

    fn at_key(&self, key: &str) -> Option<&Self> {
        self.below.iter().find(|step| &*step.key == key).map(|step| &step.node)
    }
}

impl Sought {
    /// Looks for this pointer, too. One that is sought already has its place.
    ///
    /// A pointer that does not begin with `/` leads to the whole; `Scenario` has none such but the empty one.
    pub fn add(&mut self, pointer: &str) -> Slot {
        let mut node = &mut self.root;
        for token in pointer.split('/').skip(1) {
            let key = token.replace("~1", "/").replace("~0", "~");
            let known = node.below.iter().position(|step| *step.key == *key);
            let at = known.unwrap_or_else(|| {
                node.below.push(Step { index: index_of(&key), key: key.into(), node: Node::default() });
                node.below.len() - 1
            });
            node = &mut node.below[at].node;
        }
        *node.slot.get_or_insert_with(|| {
            let slot = Slot(self.slots);
            self.slots = self.slots.saturating_add(1);
            slot
        })
    }

    /// Whether nothing is sought.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Nothing found.
    #[must_use]
    pub fn nothing<'m>(&self) -> Found<'m> {
        Found(vec![Value::Absent; usize::from(self.slots)])
    }

    /// What stands at the pointers in a JSON text, which may go on behind it; nothing, where it is none.
    #[must_use]
    pub fn in_json<'m>(&self, text: &'m str) -> Found<'m> {
        let mut found = self.nothing();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Fill { node: &self.root, found: &mut found }.deserialize(&mut json);
        if read.is_ok() { found } else { self.nothing() }
    }

    /// What stands at the pointers in a MessagePack value, whose lists and maps are as JSON's; nothing, where it is none.
    #[must_use]
    pub fn in_message_pack<'m>(&self, bytes: &'m [u8]) -> Found<'m> {
        let mut found = self.nothing();
        let mut values = rmp_serde::Deserializer::from_read_ref(bytes);
        values.set_max_depth(DEEPEST);
        let read = Fill { node: &self.root, found: &mut found }.deserialize(&mut values);
        if read.is_ok() { found } else { self.nothing() }
    }
}

/// The index that a pointer's token is (RFC 6901 §4): digits without a zero in front.
fn index_of(token: &str) -> Option<usize> {
    let is_number = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && (token == "0" || !token.starts_with('0'));
    is_plain.then(|| token.parse().ok()).flatten()
}

/// The values at pointers.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'m>(Vec<Value<'m>>);

impl<'m> Found<'m> {
    /// What stands at a pointer.
    #[must_use]
    pub fn at(&self, slot: Slot) -> &Value<'m> {
        self.0.get(usize::from(slot.0)).unwrap_or(&Value::Absent)
    }

    fn put(&mut self, slot: Option<Slot>, value: impl FnOnce() -> Value<'m>) {
        if let Some(place) = slot.and_then(|slot| self.0.get_mut(usize::from(slot.0))) {
            *place = value();
        }
    }

    /// Forgets what was found below `node`: its key comes a second time, and the last one holds.
    fn forget(&mut self, node: &Node) {
        self.put(node.slot, || Value::Absent);
        node.below.iter().for_each(|step| self.forget(&step.node));
    }
}

/// Reads a value into the places of a node.
struct Fill<'s, 'f, 'm> {
    node: &'s Node,
    found: &'f mut Found<'m>,
}

impl<'m> DeserializeSeed<'m> for Fill<'_, '_, 'm> {
    type Value = ();

    fn deserialize<D: Deserializer<'m>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'m> Visitor<'m> for Fill<'_, '_, 'm> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Null);
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Null);
        Ok(())
    }

    fn visit_some<D: Deserializer<'m>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Bool(is));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Unsigned(number));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.found
            .put(self.node.slot, || u64::try_from(number).map_or(Value::Signed(number), Value::Unsigned));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Float(number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'m str) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'m [u8]) -> Result<(), E> {
        self.found.put(self.node.slot, || Value::Bytes(bytes));
        Ok(())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.found.put(self.node.slot, || Value::Text(Cow::Owned(text)));
        Ok(())
    }

    /// An extension, as a time: it is there, and no more is known of it.
    fn visit_newtype_struct<D: Deserializer<'m>>(self, deserializer: D) -> Result<(), D::Error> {
        self.found.put(self.node.slot, || Value::Composite);
        serde::Deserialize::deserialize(deserializer).map(|IgnoredAny| ())
    }

    fn visit_seq<A: SeqAccess<'m>>(self, mut list: A) -> Result<(), A::Error> {
        self.found.put(self.node.slot, || Value::Composite);
        let mut index = 0;
        loop {
            let next = match self.node.at_index(index) {
                Some(node) => list.next_element_seed(Fill { node, found: self.found })?,
                None => list.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if next.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<(), A::Error> {
        self.found.put(self.node.slot, || Value::Composite);
        while let Some(below) = map.next_key_seed(Key(self.node))? {
            match below {
                Some(node) => {
                    self.found.forget(node);
                    map.next_value_seed(Fill { node, found: self.found })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a key: where it leads to, if any pointer goes there.
struct Key<'s>(&'s Node);

impl<'s, 'm> DeserializeSeed<'m> for Key<'s> {
    type Value = Option<&'s Node>;

    fn deserialize<D: Deserializer<'m>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'s> Visitor<'_> for Key<'s> {
    type Value = Option<&'s Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.at_key(key))
    }

    fn visit_u64<E>(self, key: u64) -> Result<Self::Value, E> {
        Ok(usize::try_from(key).ok().and_then(|index| self.0.at_index(index)))
    }

    fn visit_i64<E>(self, key: i64) -> Result<Self::Value, E> {
        Ok(usize::try_from(key).ok().and_then(|index| self.0.at_index(index)))
    }

    fn visit_bytes<E>(self, _key: &[u8]) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _key: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _key: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values at `pointers` in `text`.
    fn values<'m>(pointers: &[&str], text: &'m str) -> Vec<Value<'m>> {
        let mut sought = Sought::default();
        let slots: Vec<Slot> = pointers.iter().map(|pointer| sought.add(pointer)).collect();
        let found = sought.in_json(text);
        slots.into_iter().map(|slot| found.at(slot).clone()).collect()
    }

    #[test]
    fn each_pointer_of_rfc_6901_finds_what_it_says() {
        let text =
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let rows = [
            ("", Value::Composite),
            ("/foo", Value::Composite),
            ("/foo/0", Value::Text("bar".into())),
            ("/foo/01", Value::Absent),
            ("/foo/-", Value::Absent),
            ("/foo/2", Value::Absent),
            ("/", Value::Unsigned(0)),
            ("/a~1b", Value::Unsigned(1)),
            ("/c%d", Value::Unsigned(2)),
            ("/e^f", Value::Unsigned(3)),
            ("/g|h", Value::Unsigned(4)),
            ("/i\\j", Value::Unsigned(5)),
            ("/k\"l", Value::Unsigned(6)),
            ("/ ", Value::Unsigned(7)),
            ("/m~0n", Value::Unsigned(8)),
            ("/foo/0/x", Value::Absent),
        ];
        let pointers: Vec<&str> = rows.iter().map(|row| row.0).collect();
        let together = values(&pointers, text);
        for ((pointer, wanted), found) in rows.iter().zip(together) {
            assert_eq!(&found, wanted, "{pointer}");
            assert_eq!(values(&[pointer], text).first(), Some(wanted), "{pointer} alone");
        }
    }

    #[test]
    fn what_is_no_json_holds_nothing_and_the_last_of_equal_keys_counts() {
        for text in ["", "{", "{\"a\":1", "x{\"a\":1}"] {
            assert_eq!(values(&["/a", ""], text), [Value::Absent, Value::Absent], "{text}");
        }
        assert_eq!(values(&["/a/b", "/a"], r#"{"a":{"b":1},"a":{}}"#), [Value::Absent, Value::Composite]);
        assert_eq!(values(&["/a"], r#"{"a":1,"a":null}"#), [Value::Null]);
        assert_eq!(values(&["/a"], "{\"a\":1}\u{1e}{\"a\":2}"), [Value::Unsigned(1)], "the first of them");
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(values(&["/0/0"], &deep), [Value::Composite], "what is skipped takes no stack");
        assert_eq!(values(&["/a"], r#"{"a":"h\u00e9"}"#), [Value::Text("h\u{e9}".into())]);
        assert_eq!(values(&["/a", "/b"], r#"{"a":-5,"b":1e3}"#), [Value::Signed(-5), Value::Float(1000.0)]);
    }

    #[test]
    fn message_pack_is_bounded_and_its_own_types_are_there() {
        let mut sought = Sought::default();
        let slots = ["/0", "/1", "/2", "/3/0"].map(|pointer| sought.add(pointer));
        // A time (an extension), bytes, a float, and a list that leads deeper than is read.
        let bytes = [b"\x94\xd6\xff\0\0\0\x01\xc4\x02hi\xca\x3f\0\0\0".as_slice(), b"\x91\x07"].concat();
        let found = sought.in_message_pack(&bytes);
        let values = slots.map(|slot| found.at(slot).clone());
        assert_eq!(values, [Value::Composite, Value::Bytes(b"hi"), Value::Float(0.5), Value::Unsigned(7)]);
        let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
        assert_eq!(*sought.in_message_pack(&deep).at(slots[0]), Value::Absent);
    }

    /// Any JSON of few keys, so that pointers meet something.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            "[a-c\\PC]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c01]", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_the_whole_value_has_there(
            json in any_json(),
            pointers in prop::collection::vec("(/[a-c01]){0,4}", 1..5),
        ) {
            let text = json.to_string();
            let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
            for (pointer, found) in pointers.iter().zip(values(&pointers, &text)) {
                let theirs = match json.pointer(pointer) {
                    None => Value::Absent,
                    Some(serde_json::Value::Null) => Value::Null,
                    Some(serde_json::Value::Bool(is)) => Value::Bool(*is),
                    Some(serde_json::Value::String(text)) => Value::Text(text.into()),
                    Some(serde_json::Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
                        (Some(number), _) => Value::Unsigned(number),
                        (None, Some(number)) => Value::Signed(number),
                        (None, None) => Value::Float(number.as_f64().unwrap()),
                    },
                    Some(_) => Value::Composite,
                };
                prop_assert_eq!(found, theirs, "{} in {}", pointer, text);
            }
        }

        #[test]
        fn in_message_pack_it_finds_the_same(
            json in any_json(),
            pointers in prop::collection::vec("(/[a-c01]){0,4}", 1..5),
        ) {
            let (text, bytes) = (json.to_string(), rmp_serde::to_vec(&json).unwrap());
            let mut sought = Sought::default();
            let slots: Vec<Slot> = pointers.iter().map(|pointer| sought.add(pointer)).collect();
            let (in_json, in_bytes) = (sought.in_json(&text), sought.in_message_pack(&bytes));
            for slot in slots {
                prop_assert_eq!(in_json.at(slot), in_bytes.at(slot), "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut sought = Sought::default();
            let slots = ["/a", "/0/b", ""].map(|pointer| sought.add(pointer));
            let found = sought.in_message_pack(&bytes);
            prop_assert!(bytes.first() != Some(&0xc0) || slots.map(|slot| found.at(slot).is_there()) == [false, false, true]);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"a-c0-9]{0,40}") {
            values(&["/a", "/0/b", ""], &text);
        }
    }
}
