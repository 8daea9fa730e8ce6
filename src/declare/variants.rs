//! Keys that depend on the value of one, which stands beside them: `kind = "constant"`, `base = "1s"`.
//!
//! In: the rows of a type, each a word and its keys. Out: its shape, and how it is read from a table.

use crate::declare::reading::reader::Table;

use super::kind::Take;
use super::shape::{Row, TableShape, Variants, Word};
use super::table::{Keys, Part};
use super::words::read_word;

/// Makes a type a [`Part`] by rows: `tagged! { StormBy => rows }`.
macro_rules! tagged {
    ($Type:ty => $rows:expr) => {
        impl $crate::declare::table::Part for $Type {
            fn describe(table: &mut $crate::declare::shape::TableShape) {
                table.add_variants($rows().shape());
            }

            fn read(table: &$crate::declare::reading::reader::Table<'_>) -> Option<Self> {
                $rows().read(table)
            }
        }
    };
}
pub(crate) use tagged;

/// Makes a type a [`Part`] by the keys of a table: `flat! { StatusFault: StatusKeys => meaning }`, the meaning being `fn(StatusKeys, &Table) -> Option<StatusFault>`.
macro_rules! flat {
    ($Type:ty : $Keys:ty => $meaning:expr) => {
        impl $crate::declare::table::Part for $Type {
            fn describe(table: &mut $crate::declare::shape::TableShape) {
                table.take_in(<$Keys as $crate::declare::table::Keys>::table());
            }

            fn read(table: &$crate::declare::reading::reader::Table<'_>) -> Option<Self> {
                let keys = <$Keys as $crate::declare::table::Keys>::of_table(table, None)?;
                ($meaning)(keys, table)
            }
        }
    };
}
pub(crate) use flat;

/// Reads a row from the table.
type Read<T> = Box<dyn Fn(&Table<'_>) -> Option<T>>;

/// The rows of a type.
pub(crate) struct Rows<T> {
    tag: &'static str,
    about: &'static str,
    /// Said where the tag is missing.
    help: &'static str,
    defaults: Vec<&'static str>,
    /// The row that holds where the tag is absent.
    absent: fn(&Table<'_>, &[&'static str]) -> Option<&'static str>,
    rows: Vec<(Row, Read<T>)>,
}

impl<T: 'static> Rows<T> {
    /// None yet; the tag must be there, and `help` says so.
    pub(crate) const fn needed(tag: &'static str, about: &'static str, help: &'static str) -> Self {
        Self { tag, about, help, defaults: Vec::new(), absent: |_, _| None, rows: Vec::new() }
    }

    /// None yet; without the tag, the row `default` holds.
    pub(crate) fn or(tag: &'static str, default: &'static str, about: &'static str) -> Self {
        let absent: fn(&Table<'_>, &[&'static str]) -> _ = |_, defaults| defaults.first().copied();
        Self { tag, about, help: "", defaults: vec![default], absent, rows: Vec::new() }
    }

    /// None yet; without the tag, the other keys tell which row holds.
    pub(crate) fn by_keys(
        tag: &'static str,
        defaults: Vec<&'static str>,
        about: &'static str,
        absent: fn(&Table<'_>, &[&'static str]) -> Option<&'static str>,
    ) -> Self {
        Self { tag, about, help: "", defaults, absent, rows: Vec::new() }
    }

    fn add(mut self, word: Word, table: TableShape, read: Read<T>) -> Self {
        self.rows.push((Row { word, table }, read));
        self
    }

    /// A row with these keys.
    pub(crate) fn row<F: Take + 'static>(
        self,
        name: &'static str,
        about: &'static str,
        fields: F,
        value: impl Fn(F::Out) -> T + 'static,
    ) -> Self {
        let table = TableShape { about: about.to_owned(), keys: fields.keys(), ..TableShape::default() };
        self.add(Word { name, about }, table, Box::new(move |table| fields.take(table).map(&value)))
    }

    /// A row with the keys of a table.
    pub(crate) fn table<K: Keys + 'static>(
        self,
        name: &'static str,
        about: &'static str,
        value: impl Fn(K) -> T + 'static,
    ) -> Self {
        self.table_then(name, about, move |keys, _: &Table<'_>| Some(value(keys)))
    }

    /// A row with the keys of a table, whose meaning tells faults of its own.
    pub(crate) fn table_then<K: Keys + 'static>(
        self,
        name: &'static str,
        about: &'static str,
        value: impl Fn(K, &Table<'_>) -> Option<T> + 'static,
    ) -> Self {
        let read = move |table: &Table<'_>| K::of_table(table, None).and_then(|keys| value(keys, table));
        self.add(Word { name, about }, K::table(), Box::new(read))
    }

    /// A row with the keys of a table beneath its own.
    pub(crate) fn below<F: Take + 'static, V: Part + 'static>(
        self,
        name: &'static str,
        about: &'static str,
        fields: F,
        value: impl Fn(F::Out, V) -> T + 'static,
    ) -> Self {
        let mut table = TableShape { about: about.to_owned(), keys: fields.keys(), ..TableShape::default() };
        V::describe(&mut table);
        let read = move |table: &Table<'_>| {
            let (own, below) = (fields.take(table), V::read(table));
            Some(value(own?, below?))
        };
        self.add(Word { name, about }, table, Box::new(read))
    }

    /// The keys, by row.
    pub(crate) fn shape(&self) -> Variants {
        let Self { tag, about, defaults, .. } = self;
        let rows = self.rows.iter().map(|(row, _)| row.clone()).collect();
        Variants { tag, about, defaults: defaults.clone(), rows }
    }

    /// Reads the tag and the keys of its row.
    pub(crate) fn read(&self, table: &Table<'_>) -> Option<T> {
        let words: Vec<(Word, usize)> =
            self.rows.iter().enumerate().map(|(index, (row, _))| (row.word, index)).collect();
        let chosen = match (table.get(self.tag), (self.absent)(table, &self.defaults)) {
            (Some(at), _) => read_word(&at, &words),
            (None, Some(default)) => words.iter().find(|(word, _)| word.name == default).map(|(_, row)| *row),
            (None, None) => {
                table.missing(self.tag, self.help);
                None
            }
        };
        match chosen.and_then(|row| self.rows.get(row)) {
            Some((_, read)) => {
                for (other, _) in &self.rows {
                    let tags = other.table.variants.iter().map(|variants| variants.tag);
                    let keys = other.table.keys.iter().map(|key| key.name);
                    keys.chain(tags).for_each(|key| table.known_beside(key, self.tag, other.word.name));
                }
                read(table)
            }
            None => {
                table.unsure();
                None
            }
        }
    }
}
