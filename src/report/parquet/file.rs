//! A Parquet file: row groups, then what is in them.
//!
//! In: rows. Out: bytes, a row group at a time; at the end the metadata (`FileMetaData` of parquet.thrift).

use std::io::{self, Write};

use super::column::{Column, Kind};
use super::thrift::Struct;

/// At both ends of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Rows of a row group: some MiB in memory.
const ROWS: usize = 1 << 16;
/// The codec of all pages.
const GZIP: i32 = 2;
/// A column whose cells may be null.
const OPTIONAL: i32 = 1;

/// Writes a table.
pub(super) struct ParquetWriter<'w> {
    out: &'w mut dyn Write,
    /// Bytes so far.
    at: usize,
    columns: Vec<(String, Kind, Column)>,
    /// Rows of the group that is being filled, and of all before.
    rows: usize,
    written: usize,
    groups: Vec<Struct>,
}

impl<'w> ParquetWriter<'w> {
    /// Begins a file with these columns, of which the first is a number.
    ///
    /// # Errors
    /// The writer's.
    pub(super) fn begin(out: &'w mut dyn Write, columns: &[(&str, Kind)]) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let columns =
            columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind, Column::new(*kind))).collect();
        Ok(Self { out, at: MAGIC.len(), columns, rows: 0, written: 0, groups: Vec::new() })
    }

    /// Takes in a row: the first column's number, and the cells of the others.
    ///
    /// # Errors
    /// The writer's; `InvalidData` for a cell that is not what its column holds, and for too many or too few of them.
    pub(super) fn push<'c>(
        &mut self,
        first: i64,
        cells: impl ExactSizeIterator<Item = &'c str>,
    ) -> io::Result<()> {
        let fault = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if cells.len() + 1 != self.columns.len() {
            return fault(format!(
                "a row has {} cells where {} are due",
                cells.len(),
                self.columns.len() - 1
            ));
        }
        if let Some((_, _, column)) = self.columns.first_mut() {
            column.push_int(first);
        }
        for ((name, _, column), cell) in self.columns.iter_mut().skip(1).zip(cells) {
            if !column.push(cell) {
                return fault(format!("{name} holds {cell:?}, which is no number"));
            }
        }
        self.rows += 1;
        if self.rows == ROWS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::new();
        let mut uncompressed = 0;
        for (name, kind, column) in &mut self.columns {
            let chunk = column.take_chunk(rows)?;
            self.out.write_all(&chunk.bytes)?;
            uncompressed += chunk.uncompressed;
            let own = Struct::new()
                .i32(1, kind.physical())
                .i32s(2, kind.encodings())
                .one_text(3, name)
                .i32(4, GZIP)
                .i64(5, rows as i64)
                .i64(6, chunk.uncompressed as i64)
                .i64(7, chunk.bytes.len() as i64)
                .i64(9, (self.at + chunk.dictionary) as i64);
            let own = if chunk.dictionary > 0 { own.i64(11, self.at as i64) } else { own };
            chunks.push(Struct::new().i64(2, self.at as i64).of(3, own));
            self.at += chunk.bytes.len();
        }
        self.written += rows;
        let group = Struct::new().structs(1, chunks.into_iter());
        self.groups.push(group.i64(2, uncompressed as i64).i64(3, rows as i64));
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The writer's.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end_group()?;
        let root = Struct::new().text(4, "schema").i32(5, self.columns.len() as i32);
        let columns = self.columns.iter().map(|(name, kind, _)| {
            kind.described(Struct::new().i32(1, kind.physical()).i32(3, OPTIONAL).text(4, name))
        });
        let elements: Vec<Struct> = [root].into_iter().chain(columns).collect();
        let footer = Struct::new()
            .i32(1, 2)
            .structs(2, elements.into_iter())
            .i64(3, self.written as i64)
            .structs(4, self.groups.into_iter())
            .text(6, concat!("resurge version ", env!("CARGO_PKG_VERSION")))
            .finish();
        self.out.write_all(&footer)?;
        self.out.write_all(&(footer.len() as u32).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(&str, Kind); 3] = [("time", Kind::Time), ("group", Kind::Text), ("n", Kind::Int)];

    #[test]
    fn a_file_is_framed_and_has_a_group_for_so_many_rows() {
        let mut bytes = Vec::new();
        let mut writer = ParquetWriter::begin(&mut bytes, &COLUMNS).unwrap();
        for n in 0..=ROWS as i64 {
            writer.push(n, [["a", "b"][n as usize % 2], "1"].into_iter()).unwrap();
        }
        assert_eq!((writer.groups.len(), writer.rows), (1, 1));
        writer.finish().unwrap();
        assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&MAGIC[..], &MAGIC[..]));
        let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
        // Version 2, and a list of four elements.
        let footer = &bytes[bytes.len() - 8 - length as usize..];
        assert_eq!(footer[..4], [0x15, 4, 0x19, 0x4c]);
    }

    #[test]
    fn a_row_of_another_shape_is_told() {
        let mut bytes = Vec::new();
        let mut writer = ParquetWriter::begin(&mut bytes, &COLUMNS).unwrap();
        let told = writer.push(0, ["a"].into_iter()).unwrap_err().to_string();
        assert_eq!(told, "a row has 1 cells where 2 are due");
        let told = writer.push(0, ["a", "b"].into_iter()).unwrap_err().to_string();
        assert_eq!(told, "n holds \"b\", which is no number");
    }
}
