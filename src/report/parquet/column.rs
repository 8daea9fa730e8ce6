//! A column of a row group: its values, and its pages.
//!
//! In: cells. Out: bytes of a column chunk. Texts are written once each, in a dictionary; which rows have one, and which text it is, as runs of equal values
//! (RLE of <https://parquet.apache.org/docs/file-format/data-pages/encodings/>).

use std::collections::HashMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::varint::push_varint;
use super::thrift::Struct;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// `INT64`, `TIMESTAMP(MICROS, UTC)`.
    Time,
    /// `INT64`.
    Int,
    /// `DOUBLE`: times in microseconds, to the nanosecond.
    Double,
    /// `BYTE_ARRAY`, `STRING`.
    Text,
}

/// Encodings of the format.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const RLE_DICTIONARY: i32 = 8;
/// Pages of the format.
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;

impl Kind {
    /// The number of its physical type.
    pub(super) const fn physical(self) -> i32 {
        match self {
            Self::Time | Self::Int => 2,
            Self::Double => 5,
            Self::Text => 6,
        }
    }

    /// The encodings of its pages.
    pub(super) const fn encodings(self) -> &'static [i32] {
        match self {
            Self::Text => &[PLAIN, RLE, RLE_DICTIONARY],
            _ => &[PLAIN, RLE],
        }
    }

    /// Adds what a cell of it means to a schema's element (`converted_type` for older readers, `logicalType`).
    pub(super) fn described(self, element: Struct) -> Struct {
        match self {
            Self::Int | Self::Double => element,
            Self::Text => element.i32(6, 0).of(10, Struct::new().of(1, Struct::new())),
            Self::Time => {
                let microseconds = Struct::new().of(2, Struct::new());
                let timestamp = Struct::new().is(1).of(2, microseconds);
                element.i32(6, 10).of(10, Struct::new().of(8, timestamp))
            }
        }
    }
}

/// A column of the row group that is being filled.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    /// Whether each row has a value.
    present: Runs,
    /// The values, plain; of texts, the dictionary's.
    plain: Vec<u8>,
    /// Of texts: where each is in the dictionary, and which each row has.
    numbers: HashMap<String, u32>,
    chosen: Runs,
}

/// A column chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Its pages.
    pub(super) bytes: Vec<u8>,
    /// How long the dictionary's page is, which is first; 0 where there is none.
    pub(super) dictionary: usize,
    /// Bytes before they were compressed.
    pub(super) uncompressed: usize,
}

impl Column {
    /// An empty one.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            present: Runs::default(),
            plain: Vec::new(),
            numbers: HashMap::new(),
            chosen: Runs::default(),
        }
    }

    /// Takes in a number.
    pub(super) fn push_int(&mut self, value: i64) {
        self.present.push(1);
        self.plain.extend(value.to_le_bytes());
    }

    /// Takes in a cell; an empty one is a null. Answers with whether it is what the column holds.
    pub(super) fn push(&mut self, cell: &str) -> bool {
        if cell.is_empty() {
            self.present.push(0);
            return true;
        }
        match self.kind {
            Kind::Time | Kind::Int => {
                let Ok(value) = cell.parse::<i64>() else { return false };
                self.push_int(value);
            }
            Kind::Double => {
                let Ok(value) = cell.parse::<f64>() else { return false };
                self.present.push(1);
                self.plain.extend(value.to_le_bytes());
            }
            Kind::Text => {
                self.present.push(1);
                let number = self.number(cell);
                self.chosen.push(number);
            }
        }
        true
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.plain.extend((text.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(text.as_bytes());
        number
    }

    /// Ends the row group of that many rows; the column is empty again.
    ///
    /// # Errors
    /// Only when memory cannot be written.
    pub(super) fn take_chunk(&mut self, rows: usize) -> io::Result<Chunk> {
        let Self { kind, present, plain, numbers, chosen } = std::mem::replace(self, Self::new(self.kind));
        let mut chunk = Chunk { bytes: Vec::new(), dictionary: 0, uncompressed: 0 };
        let levels = present.finish(1);
        let mut page = (levels.len() as u32).to_le_bytes().to_vec();
        page.extend(levels);
        let encoding = if kind == Kind::Text {
            let header = Struct::new().i32(1, numbers.len() as i32).i32(2, PLAIN);
            chunk.push_page(DICTIONARY_PAGE, (7, header), &plain)?;
            chunk.dictionary = chunk.bytes.len();
            // One bit is the least that every reader takes.
            let width = (usize::BITS - numbers.len().saturating_sub(1).leading_zeros()).max(1) as u8;
            page.push(width);
            page.extend(chosen.finish(width));
            RLE_DICTIONARY
        } else {
            page.extend(plain);
            PLAIN
        };
        let header = Struct::new().i32(1, rows as i32).i32(2, encoding).i32(3, RLE).i32(4, RLE);
        chunk.push_page(DATA_PAGE, (5, header), &page)?;
        Ok(chunk)
    }
}

impl Chunk {
    /// Adds a page of that type, whose header has `own` at that field.
    fn push_page(&mut self, page: i32, (field, own): (u8, Struct), plain: &[u8]) -> io::Result<()> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain)?;
        let packed = encoder.finish()?;
        let header = Struct::new().i32(1, page).i32(2, plain.len() as i32).i32(3, packed.len() as i32);
        let header = header.of(field, own).finish();
        self.uncompressed += header.len() + plain.len();
        self.bytes.extend(header);
        self.bytes.extend(packed);
        Ok(())
    }
}

/// Small numbers, as runs of equal ones.
#[derive(Debug, Default)]
struct Runs(Vec<(u32, u32)>);

impl Runs {
    fn push(&mut self, value: u32) {
        match self.0.last_mut() {
            Some((last, times)) if *last == value => *times += 1,
            _ => self.0.push((value, 1)),
        }
    }

    /// Each run: how often, twice, and the value in as many bytes as `width` bits take.
    fn finish(self, width: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (value, times) in self.0 {
            push_varint(&mut bytes, u64::from(times) << 1);
            bytes.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    /// The page at the end of a chunk, inflated.
    fn last_page(bytes: &[u8]) -> Vec<u8> {
        let start = bytes.windows(2).rposition(|two| two == [0x1f, 0x8b]).unwrap();
        let mut page = Vec::new();
        GzDecoder::new(&bytes[start..]).read_to_end(&mut page).unwrap();
        page
    }

    #[test]
    fn a_page_holds_which_rows_have_a_value_and_then_the_values() {
        let mut column = Column::new(Kind::Int);
        for cell in ["7", "", "", "-1"] {
            assert!(column.push(cell), "{cell}");
        }
        let chunk = column.take_chunk(4).unwrap();
        let values = [7_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat();
        let levels = [6, 0, 0, 0, 2, 1, 4, 0, 2, 1].to_vec();
        assert_eq!(last_page(&chunk.bytes), [levels, values].concat());
        assert_eq!(chunk.dictionary, 0);
        assert!(column.present.0.is_empty() && column.plain.is_empty());
    }

    #[test]
    fn texts_are_in_a_dictionary() {
        let mut column = Column::new(Kind::Text);
        for cell in ["a", "b", "b", "", "a"] {
            assert!(column.push(cell));
        }
        let chunk = column.take_chunk(5).unwrap();
        assert_eq!(last_page(&chunk.bytes[..chunk.dictionary]), b"\x01\0\0\0a\x01\0\0\0b");
        let page = [6, 0, 0, 0, 6, 1, 2, 0, 2, 1, 1, 2, 0, 4, 1, 2, 0];
        assert_eq!(last_page(&chunk.bytes), page);
    }

    #[test]
    fn a_cell_that_is_no_number_is_told() {
        assert!(!Column::new(Kind::Int).push("1.5"));
        assert!(!Column::new(Kind::Double).push("x"));
        assert!(Column::new(Kind::Double).push("1.5"));
    }
}
