//! Places that are used again and again.
//!
//! In: values. Out: an index for each, and a generation that tells its uses apart: what was meant for an earlier use finds nothing. What
//! another part keeps of the same thing stands beside it, under the same key.

/// Values by index.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

/// Which use of which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Key {
    /// Names nothing.
    pub(super) const NONE: Self = Self { index: u32::MAX, generation: 0 };
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a value.
    pub(super) fn insert(&mut self, value: T) -> Key {
        match self.free.pop() {
            Some(index) => {
                let place = &mut self.places[index as usize];
                place.1 = Some(value);
                Key { index, generation: place.0 }
            }
            None => {
                let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
                self.places.push((0, Some(value)));
                Key { index, generation: 0 }
            }
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        place.1.as_ref().filter(|_| place.0 == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        place.1.as_mut().filter(|_| place.0 == key.generation)
    }

    /// Lets go of a value.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.0 != key.generation {
            return None;
        }
        let value = place.1.take()?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// The values in the order of their indexes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, (generation, value))| {
            let key = Key { index: u32::try_from(index).unwrap_or(u32::MAX), generation: *generation };
            value.as_ref().map(|value| (key, value))
        })
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Values under the keys of a [`Slab`] of another part.
#[derive(Debug)]
pub(super) struct Beside<T> {
    places: Vec<(u32, Option<T>)>,
}

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T> Beside<T> {
    /// Keeps a value. What was kept under an earlier use of the place is dropped.
    pub(super) fn insert(&mut self, key: Key, value: T) {
        if key == Key::NONE {
            return;
        }
        let at = key.index as usize;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || (0, None));
        }
        self.places[at] = (key.generation, Some(value));
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        place.1.as_ref().filter(|_| place.0 == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        place.1.as_mut().filter(|_| place.0 == key.generation)
    }

    /// Lets go of a value.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.0 == key.generation { place.1.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_belongs_to_one_use_of_its_place() {
        let mut slab = Slab::default();
        let mut beside = Beside::default();
        let first = slab.insert(());
        beside.insert(first, 'a');
        beside.insert(Key::NONE, 'n');
        slab.remove(first);
        let second = slab.insert(());
        assert_eq!((beside.get(first), beside.get(second), beside.get(Key::NONE)), (Some(&'a'), None, None));
        assert_eq!(beside.remove(second), None);
        assert_eq!(beside.get_mut(second), None);
        beside.insert(second, 'b');
        assert_eq!(beside.remove(first), None);
        assert_eq!(beside.get(first), None);
        assert_eq!(beside.remove(second), Some('b'));
        assert_eq!(beside.get(second), None);
    }

    #[test]
    fn a_place_that_is_used_again_is_another() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!((slab.remove(a), slab.get(a)), (None, None));
        let c = slab.insert('c');
        assert_eq!(c.index, a.index);
        assert_eq!((slab.get(a), slab.get(c)), (None, Some(&'c')));
        assert_eq!(slab.get_mut(b).copied(), Some('b'));
        assert_eq!(slab.iter().map(|(_, value)| *value).collect::<String>(), "cb");
        assert_eq!((slab.len(), slab.get(Key::NONE)), (2, None));
    }
}
