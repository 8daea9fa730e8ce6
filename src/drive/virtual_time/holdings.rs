//! What clients hold beside their tokens: variables, cookies, the way that their first handshake went.
//!
//! In: a client's number. Out: what it holds, to be read or changed. Who holds nothing takes no room.

use std::collections::HashMap;

use crate::drive::network::variables::Variables;

/// What all clients hold.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    of: HashMap<u32, Box<Variables>>,
}

impl Holdings {
    /// What client `number` holds is changed, or comes to be.
    pub(super) fn change<T>(
        &mut self,
        number: u32,
        change: impl FnOnce(&mut Option<Box<Variables>>) -> T,
    ) -> T {
        let mut held = self.of.remove(&number);
        let result = change(&mut held);
        if let Some(held) = held {
            self.of.insert(number, held);
        }
        result
    }

    /// What a client holds.
    pub(super) fn get(&self, number: u32) -> Option<&Variables> {
        self.of.get(&number).map(|held| &**held)
    }
}
