//! Kinds of values: how one is read, and what it may look like.
//!
//! In: a place in the document. Out: a typed value, or nothing and a fault.

use std::marker::PhantomData;

use crate::declare::reading::reader::{At, Table};

use super::shape::{FIRST, Key, Presence, Shape, line};

/// A kind of value: a value that knows how others are read.
pub(crate) trait Kind {
    /// What is read.
    type Out;

    /// What it may look like.
    fn shape(&self) -> Shape;

    /// Reads it; `None` where it is faulty, and the fault is told.
    fn read(&self, at: &At<'_>) -> Option<Self::Out>;

    /// It as the file would have it; `None` where nobody would write it.
    fn write(&self, _out: &Self::Out) -> Option<String> {
        None
    }
}

/// A type that knows how it is read.
pub(crate) trait Value: Sized {
    /// As [`Kind::shape`].
    fn shape() -> Shape;

    /// As [`Kind::read`].
    fn read(at: &At<'_>) -> Option<Self>;

    /// As [`Kind::write`].
    fn write(&self) -> Option<String> {
        None
    }
}

/// The kind of a type that knows how it is read.
pub(crate) struct Of<T>(PhantomData<T>);

/// The kind of a type that knows how it is read.
pub(crate) const fn of<T: Value>() -> Of<T> {
    Of(PhantomData)
}

impl<T: Value> Kind for Of<T> {
    type Out = T;

    fn shape(&self) -> Shape {
        T::shape()
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        T::read(at)
    }

    fn write(&self, out: &T) -> Option<String> {
        out.write()
    }
}

/// A kind whose values mean something else.
pub(crate) struct Then<K, F>(K, F);

/// Reads with `kind` and takes the result through `meaning`, which tells its own faults.
pub(crate) const fn then<K: Kind, T, F>(kind: K, meaning: F) -> Then<K, F>
where
    F: Fn(K::Out, &At<'_>) -> Option<T>,
{
    Then(kind, meaning)
}

impl<K: Kind, T, F: Fn(K::Out, &At<'_>) -> Option<T>> Kind for Then<K, F> {
    type Out = T;

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        self.0.read(at).and_then(|read| (self.1)(read, at))
    }
}

/// What is written of a field, whether or not it is optional.
pub(crate) trait Written<T> {
    /// The value, if there is one.
    fn written(&self) -> Option<&T>;
}

impl<T> Written<T> for T {
    fn written(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T> Written<T> for Option<T> {
    fn written(&self) -> Option<&T> {
        self.as_ref()
    }
}

/// A key of a table with its kind; it need not be there.
pub(crate) struct Field<K> {
    name: &'static str,
    about: &'static str,
    kind: K,
}

/// A key that must be there.
pub(crate) struct Needed<K>(Field<K>, &'static str);

/// A key without which a value holds.
pub(crate) struct Or<K: Kind>(Field<K>, K::Out);

/// A key that need not be there.
pub(crate) const fn field<K: Kind>(name: &'static str, about: &'static str, kind: K) -> Field<K> {
    Field { name, about, kind }
}

impl<K: Kind> Field<K> {
    /// It must be there; `help` says so where it is not.
    pub(crate) fn needed(self, help: &'static str) -> Needed<K> {
        Needed(self, help)
    }

    /// Without it, `value` holds.
    pub(crate) fn or(self, value: K::Out) -> Or<K> {
        Or(self, value)
    }

    fn key(&self, presence: Presence) -> Vec<Key> {
        vec![Key {
            name: self.name,
            about: line(self.about),
            shape: self.kind.shape(),
            presence,
            since: FIRST,
        }]
    }
}

/// Keys that are taken from a table together.
pub(crate) trait Take {
    /// What is taken.
    type Out;

    /// What there is to know of the keys.
    fn keys(&self) -> Vec<Key>;

    /// Takes them; `None` where the table is of no use without one, and the fault is told.
    fn take(&self, table: &Table<'_>) -> Option<Self::Out>;
}

impl<K: Kind> Take for Field<K> {
    type Out = Option<K::Out>;

    fn keys(&self) -> Vec<Key> {
        self.key(Presence::Optional)
    }

    fn take(&self, table: &Table<'_>) -> Option<Option<K::Out>> {
        Some(table.get(self.name).and_then(|at| self.kind.read(&at)))
    }
}

impl<K: Kind> Take for Needed<K> {
    type Out = K::Out;

    fn keys(&self) -> Vec<Key> {
        self.0.key(Presence::Required)
    }

    fn take(&self, table: &Table<'_>) -> Option<K::Out> {
        match table.get(self.0.name) {
            Some(at) => self.0.kind.read(&at),
            None => {
                table.missing(self.0.name, self.1);
                None
            }
        }
    }
}

impl<K: Kind> Take for Or<K>
where
    K::Out: Clone,
{
    type Out = K::Out;

    fn keys(&self) -> Vec<Key> {
        self.0.key(presence(&self.0.kind, &self.1))
    }

    fn take(&self, table: &Table<'_>) -> Option<K::Out> {
        let read = table.get(self.0.name).and_then(|at| self.0.kind.read(&at));
        Some(read.unwrap_or_else(|| self.1.clone()))
    }
}

/// That a key has a default, where that can be written.
pub(crate) fn presence<K: Kind>(kind: &K, default: &impl Written<K::Out>) -> Presence {
    let text = default.written().and_then(|value| kind.write(value));
    // An empty name is none.
    text.filter(|text| text != "\"\"").map_or(Presence::Optional, Presence::Default)
}

/// No field.
impl Take for () {
    type Out = ();

    fn keys(&self) -> Vec<Key> {
        Vec::new()
    }

    fn take(&self, _table: &Table<'_>) -> Option<()> {
        Some(())
    }
}

macro_rules! take_several {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Take),+> Take for ($($name,)+) {
            type Out = ($($name::Out,)+);

            fn keys(&self) -> Vec<Key> {
                let mut keys = Vec::new();
                $(keys.extend(self.$at.keys());)+
                keys
            }

            fn take(&self, table: &Table<'_>) -> Option<Self::Out> {
                // All are read before any is missed.
                let taken = ($(self.$at.take(table),)+);
                Some(($(taken.$at?,)+))
            }
        }
    };
}
take_several!(A 0);
take_several!(A 0, B 1);
take_several!(A 0, B 1, C 2);
