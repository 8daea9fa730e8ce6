//! Tables of keys: a struct whose fields are the keys.
//!
//! In: a struct with kinds and defaults. Out: the struct, what there is to know of its keys, how it is read.

use crate::declare::reading::reader::{At, Table};

use super::kind::{Kind, Value};
use super::shape::{Needs, Shape, TableShape};

/// A struct whose fields are the keys of a table.
pub(crate) trait Keys: Clone {
    /// What there is to know of its keys.
    fn table() -> TableShape;

    /// Reads it; a key that is not there is as in `base`, or else as usual. `None` where a key that must be there is not, or is faulty.
    fn of_table(table: &Table<'_>, base: Option<&Self>) -> Option<Self>;
}

/// A value that several keys of a table make up together.
pub(crate) trait Part: Sized {
    /// Adds its keys to those of the table.
    fn describe(table: &mut TableShape);

    /// Reads it from the table; `None` where it is faulty, and the fault is told.
    fn read(table: &Table<'_>) -> Option<Self>;
}

/// Reads a whole table, and tells of keys that it does not know.
pub(crate) fn read_table<T: Keys>(at: &At<'_>, base: Option<&T>) -> Option<T> {
    let Some(table) = at.table() else {
        at.wrong("a table is needed");
        return None;
    };
    let read = T::of_table(&table, base);
    table.finish();
    read
}

/// One of some sets of keys must be there, and no more than one.
pub(crate) const fn one_of(sets: &'static [&'static [&'static str]], help: &'static str) -> Needs {
    Needs { sets, is_exclusive: true, help }
}

/// One of some sets of keys must be there.
pub(crate) const fn any_of(sets: &'static [&'static [&'static str]], help: &'static str) -> Needs {
    Needs { sets, is_exclusive: false, help }
}

/// Whether the keys are there that must be; else faults.
pub(crate) fn check_needs(table: &Table<'_>, needs: &[Needs]) -> Option<()> {
    let mut is_good = true;
    for need in needs {
        let complete: Vec<_> = need.sets.iter().filter(|set| set.iter().all(|key| table.has(key))).collect();
        if complete.is_empty() {
            is_good = false;
            tell_missing(table, need);
        } else if need.is_exclusive && complete.len() > 1 {
            is_good = false;
            let names: Vec<String> = complete.iter().map(|set| format!("`{}`", set.join("`, `"))).collect();
            table.fault(
                table.span.clone(),
                format!("`{}` has {}", table.path, names.join(" and ")),
                need.help,
            );
        }
    }
    is_good.then_some(())
}

fn tell_missing(table: &Table<'_>, need: &Needs) {
    let given = |set: &&[&str]| set.iter().filter(|key| table.has(key)).count();
    let begun = need.sets.iter().copied().max_by_key(|set| (given(set), std::cmp::Reverse(set.len())));
    match begun.filter(|set| given(set) > 0 || need.sets.len() == 1) {
        Some(set) => {
            for key in set.iter().filter(|key| !table.has(key)) {
                table.missing(key, need.help);
            }
        }
        None => {
            let names: Vec<String> =
                need.sets.iter().map(|set| format!("`{}`", set.join("` and `"))).collect();
            let message = format!("`{}` has none of {}", table.path, names.join(", "));
            table.fault(table.span.clone(), message, need.help);
        }
    }
}

/// Makes a type a [`Value`] by the keys of a table: `meaning! { KeepAlive: KeepAliveKeys => meaning }`, the meaning being `fn(KeepAliveKeys, &Table) -> Option<KeepAlive>`.
macro_rules! meaning {
    ($Type:ty : $Keys:ty => $meaning:expr) => {
        impl $crate::declare::kind::Value for $Type {
            fn shape() -> $crate::declare::shape::Shape {
                <$Keys as $crate::declare::kind::Value>::shape()
            }

            fn read(at: &$crate::declare::reading::reader::At<'_>) -> Option<Self> {
                let keys = $crate::declare::table::read_table::<$Keys>(at, None)?;
                ($meaning)(keys, &at.table()?)
            }
        }
    };
}
pub(crate) use meaning;

impl<T: Keys> Value for T {
    fn shape() -> Shape {
        Shape::Table(T::table())
    }

    fn read(at: &At<'_>) -> Option<Self> {
        read_table(at, None)
    }
}

/// The kind of a table whose absent keys are as in another.
pub(crate) struct Over<F>(pub(crate) F);

impl<T: Keys, F: Fn(&At<'_>) -> T> Kind for Over<F> {
    type Out = T;

    fn shape(&self) -> Shape {
        Shape::Table(T::table())
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        read_table(at, Some(&(self.0)(at)))
    }
}

/// Declares a table of the file: a struct whose fields are its keys.
///
/// ```text
/// table! {
///     /// What it is for.
///     default pub struct Name {            // `default`: every key has one, and so has the struct
///         /// What the key says.
///         key: Type = default;             // absent: the default; the kind is that of the type
///         /// What the key says.
///         key: Type = default => kind;     // another kind
///         /// What the key says.
///         key: Type = default, over (absent) => kind;   // absent: what the closure `absent` makes of the table
///         /// What the key says.
///         key: Type, needed "help" => kind;             // absent: a fault
///         ..
///         /// Keys that make up a value together (a `Part`).
///         key: Type;
///     }
///     begin: function;                      // before the keys are read: fn(&Table)
///     needs: [one_of(&[&["a"], &["b"]], "help")];
///     check: function;                      // rules between keys: fn(Self, &Table) -> Option<Self>
/// }
/// ```
/// A key that came later has `#[since = "0.2"]` before its name.
macro_rules! table {
    ( $(#[doc = $about:literal])+ $(#[derive($($derive:ident),+)])? default pub struct $Name:ident {
        $( $(#[doc = $doc:literal])+ $(#[since = $since:literal])?
           $field:ident : $Type:ty = $default:expr $(, over $over:expr)? $(=> $kind:expr)?; )*
      }
      $(begin: $begin:expr;)? $(needs: [$($needs:expr),+ $(,)?];)? $(check: $check:expr;)?
    ) => {
        impl Default for $Name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        $crate::declare::table::table! {
            $(#[doc = $about])+ $(#[derive($($derive),+)])? pub struct $Name {
                $( $(#[doc = $doc])+ $(#[since = $since])? $field: $Type = $default $(, over $over)? $(=> $kind)?; )*
            }
            $(begin: $begin;)? $(needs: [$($needs),+];)? $(check: $check;)?
        }
    };
    ( $(#[doc = $about:literal])+ $(#[derive($($derive:ident),+)])? pub struct $Name:ident {
        $( $(#[doc = $doc:literal])+ $(#[since = $since:literal])?
           $field:ident : $Type:ty $(= $default:expr)? $(, needed $help:literal)? $(, over $over:expr)? $(=> $kind:expr)?; )*
        $( .. $( $(#[doc = $tagged_doc:literal])+ $tagged:ident : $Tagged:ty; )+ )?
      }
      $(begin: $begin:expr;)? $(needs: [$($needs:expr),+ $(,)?];)? $(check: $check:expr;)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone $($(, $derive)+)?)]
        pub struct $Name {
            $( $(#[doc = $doc])+ pub $field: $Type, )*
            $($( $(#[doc = $tagged_doc])+ pub $tagged: $Tagged, )+)?
        }

        impl $crate::declare::table::Keys for $Name {
            fn table() -> $crate::declare::shape::TableShape {
                use $crate::declare::shape;
                let mut described = shape::TableShape {
                    about: shape::line(concat!($($about, " "),+)),
                    keys: vec![$({
                        let kind = $crate::declare::table::kind!($Type $(, $kind)?);
                        shape::Key {
                            name: stringify!($field),
                            about: shape::line(concat!($($doc, " "),+)),
                            shape: $crate::declare::kind::Kind::shape(&kind),
                            presence: $crate::declare::table::presence!(kind, $Type $(, default $default)? $(, needed $help)?),
                            since: $crate::declare::table::since!($($since)?),
                        }
                    },)*],
                    variants: Vec::new(),
                    needs: vec![$($($needs),+)?],
                };
                let parts: &[fn(&mut shape::TableShape)] =
                    &[$($( <$Tagged as $crate::declare::table::Part>::describe, )+)?];
                parts.iter().for_each(|describe| describe(&mut described));
                described
            }

            fn of_table(
                table: &$crate::declare::reading::reader::Table<'_>,
                base: Option<&Self>,
            ) -> Option<Self> {
                $( ($begin)(table); )?
                $(
                    let read = table.get(stringify!($field)).map(|at| $crate::declare::kind::Kind::read(&$crate::declare::table::kind!($Type $(, $kind)?), &at));
                    let $field: Option<$Type> = $crate::declare::table::take!(
                        table, base, read, $field $(, default $default)? $(, needed $help)? $(, over $over)?
                    );
                )*
                $($(
                    let $tagged = <$Tagged as $crate::declare::table::Part>::read(table);
                )+)?
                $( $crate::declare::table::check_needs(table, &[$($needs),+])?; )?
                let _ = base;
                let read = Self { $($field: $field?,)* $($($tagged: $tagged?,)+)? };
                $( let read = ($check)(read, table)?; )?
                Some(read)
            }
        }
    };
}
pub(crate) use table;

/// Whether a key of [`table!`] must be there.
macro_rules! presence {
    ($kind:ident, $Type:ty, default $default:expr) => {{
        let default: $Type = $default;
        $crate::declare::kind::presence(&$kind, &default)
    }};
    ($kind:ident, $Type:ty, needed $help:literal) => {
        $crate::declare::shape::Presence::Required
    };
}
pub(crate) use presence;

/// The kind of a key of [`table!`]: that of its type, unless another is named.
macro_rules! kind {
    ($Type:ty) => {
        $crate::declare::kind::of::<$Type>()
    };
    ($Type:ty, $kind:expr) => {
        $kind
    };
}
pub(crate) use kind;

/// The version that brought a key of [`table!`].
macro_rules! since {
    () => {
        $crate::declare::shape::FIRST
    };
    ($since:literal) => {
        $since
    };
}
pub(crate) use since;

/// The value of a key of [`table!`], after it was read.
macro_rules! take {
    ($table:ident, $base:ident, $read:ident, $field:ident, default $default:expr, over $over:expr) => {
        Some(match $read {
            Some(Some(value)) => value.into(),
            _ => ($over)($table),
        })
    };
    ($table:ident, $base:ident, $read:ident, $field:ident, default $default:expr) => {
        Some(match $read {
            Some(Some(value)) => value.into(),
            _ => $base.map_or_else(|| $default, |base| base.$field.clone()),
        })
    };
    ($table:ident, $base:ident, $read:ident, $field:ident, needed $help:literal) => {{
        if $read.is_none() {
            $table.missing(stringify!($field), $help);
        }
        $read.flatten().map(Into::into)
    }};
}
pub(crate) use take;
