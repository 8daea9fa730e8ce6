//! A rule that says which messages are meant, compiled.
//!
//! In: the rule, the pointers that the group seeks. Out: whether a message is meant.

use crate::scenario::keys::{Literal, MessageRule};

use super::look::{Look, Payload};
use super::sought::{Slot, Sought};

/// Which messages are meant: those that all of it fits.
#[derive(Debug, Clone)]
pub struct Condition {
    rule: MessageRule,
    /// Where something must stand; and what, if that is said.
    fields: Vec<(Slot, Option<Literal>)>,
}

impl Condition {
    /// Compiles a rule; its pointers are `sought` from then on.
    #[must_use]
    pub fn new(rule: &MessageRule, sought: &mut Sought) -> Self {
        let fields = rule.fields.iter().map(|(pointer, wanted)| (sought.add(pointer), wanted.clone()));
        Self { fields: fields.collect(), rule: rule.clone() }
    }

    /// Whether the message is meant. What is cheap is looked at first: the message is parsed only where all else fits.
    #[must_use]
    pub fn fits(&self, look: &Look<'_, '_>) -> bool {
        let rule = &self.rule;
        let as_it_stands = match look.payload() {
            Payload::Text(text) => rule.fits_text(text),
            Payload::Binary(bytes) => {
                !rule.is_about_text()
                    && rule.binary_starts_with.as_ref().is_none_or(|start| bytes.starts_with(start))
            }
        };
        as_it_stands
            && self.fields.iter().all(|(slot, wanted)| {
                let value = look.at(*slot);
                wanted.as_ref().map_or(value.is_there(), |wanted| value.is(wanted))
            })
    }
}
