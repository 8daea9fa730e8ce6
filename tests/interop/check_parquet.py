"""The Parquet tables, read by DuckDB and by pandas with pyarrow: every row and column is the CSV's. Needs RESURGE_BIN."""

import json
import subprocess
import tempfile
from pathlib import Path

import duckdb
import pandas
import pyarrow
import pyarrow.parquet

from processes import LONGEST, RESURGE, UNTIMED

# Two groups, refusals, a storm.
SCENARIO = f"""
name = "parquet"
duration = "3m"
[target]
idle_timeout = "2s"
invalidation = "on-disconnect"
[[groups]]
name = "fresh.one"
clients = 60
start = {{ over = "1s" }}
token = {{ client_id = "a", client_secret = "b", on_reconnect = "fetch" }}
[[groups]]
name = "stale"
clients = 30
start = {{ over = "2s" }}
token = {{ client_id = "c", client_secret = "d", on_reconnect = "reuse" }}
[[storms]]
at = "3s"
code = 1012
fraction = 0.5
{UNTIMED}
"""
TEXTS = {"group", "kind", "outcome", "cause", "said", "ended_by", "how", "trace_id"}


def report(out, *arguments, code=0):
    """What `resurge report` answers with, as bytes."""
    done = subprocess.run([RESURGE, "report", str(out), *arguments], capture_output=True, timeout=LONGEST)
    assert done.returncode == code, (done.returncode, done.stderr)
    return done.stdout, done.stderr.decode()


def expected_type(table, column):
    """The type that a column must have."""
    if column in TEXTS:
        return pyarrow.string()
    return pyarrow.float64() if table == "attempts" and column.endswith("_us") else pyarrow.int64()


def compare(csv_file, parquet_file, table, started_us):
    """Holds both readers' tables to the CSV."""
    # As text, so that nothing is read into the CSV that does not stand in it.
    rows = pandas.read_csv(csv_file, dtype=str, keep_default_na=False)
    schema = pyarrow.parquet.read_schema(parquet_file)
    assert schema.names == ["time", *rows.columns], schema.names
    assert schema.field("time").type == pyarrow.timestamp("us", tz="UTC"), schema
    for column in rows.columns:
        assert schema.field(column).type == expected_type(table, column), (column, schema)
    read = pyarrow.parquet.read_table(parquet_file)
    read.validate(full=True)
    found = duckdb.connect().execute(f"SELECT *, epoch_us(time) AS at FROM read_parquet('{parquet_file}')")
    names = [column[0] for column in found.description]
    by_duckdb = found.fetchall()
    by_pandas = pandas.read_parquet(parquet_file)
    assert read.num_rows == len(by_duckdb) == len(by_pandas) == len(rows), (read.num_rows, len(rows))
    for column in rows.columns:
        kind = expected_type(table, column)
        number = {pyarrow.int64(): int, pyarrow.float64(): float}.get(kind, str)
        wanted = [None if cell == "" else number(cell) for cell in rows[column]]
        assert read.column(column).to_pylist() == wanted, column
        assert [row[names.index(column)] for row in by_duckdb] == wanted, column
        seen = by_pandas[column].astype(object)
        assert seen.where(seen.notna(), None).tolist() == wanted, column
    of_start = "second" if table == "timeseries" else "due_us"
    scale = 1_000_000 if table == "timeseries" else 1
    wanted = [started_us + int(cell.split(".")[0]) * scale for cell in rows[of_start]]
    assert [row[-1] for row in by_duckdb] == wanted
    assert read.column("time").cast(pyarrow.int64()).to_pylist() == wanted
    return pyarrow.parquet.ParquetFile(parquet_file).metadata.num_row_groups


def check_parquet_is_the_csv():
    """Both tables, of several row groups, and a table without rows; what is cut off is left out, and said."""
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        scenario, out = home / "parquet.toml", home / "run"
        scenario.write_text(SCENARIO)
        exported = home / "exported.parquet"
        command = [RESURGE, "simulate", str(scenario), "--attempts", "--out", str(out), "--progress", "none"]
        done = subprocess.run([*command, "--export", f"parquet={exported}"], capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.returncode, done.stderr)
        started = json.loads((out / "run.json").read_text())["start_unix_us"]
        for table in ["timeseries", "attempts"]:
            file = home / f"{table}.parquet"
            file.write_bytes(report(out, "--format", "parquet", "--table", table)[0])
            compare(out / f"{table}.csv", file, table, started)
            assert report(out, "--format", "csv", "--table", table)[0] == (out / f"{table}.csv").read_bytes()
        assert exported.read_bytes() == (home / "timeseries.parquet").read_bytes()
        assert report(out, "--format", "parquet", "--table", "closes", code=2)[1].count("timeseries and attempts") == 1

        lines = (out / "attempts.csv").read_bytes().splitlines(keepends=True)
        # More than the 65,536 rows of a row group.
        (out / "attempts.csv").write_bytes(lines[0] + b"".join(lines[1:]) * (70_000 // (len(lines) - 1) + 1))
        file = home / "long.parquet"
        file.write_bytes(report(out, "--format", "parquet", "--table", "attempts")[0])
        assert compare(out / "attempts.csv", file, "attempts", started) == 2
        for cut, rows, note in [(b"".join(lines[:3])[:-4], 1, True), (lines[0], 0, False)]:
            (out / "attempts.csv").write_bytes(cut)
            bytes_, told = report(out, "--format", "parquet", "--table", "attempts")
            file = home / "cut.parquet"
            file.write_bytes(bytes_)
            assert pyarrow.parquet.read_table(file).num_rows == rows
            assert duckdb.connect().execute(f"SELECT count(*) FROM read_parquet('{file}')").fetchone() == (rows,)
            assert ("is cut off, and left out" in told) == note, told
        (out / "attempts.csv").write_bytes(lines[0] + b"a,b\n")
        assert "attempts.csv cannot be read" in report(out, "--format", "parquet", "--table", "attempts", code=65)[1]
        (out / "attempts.csv").unlink()
        assert "resurge run --attempts" in report(out, "--format", "parquet", "--table", "attempts", code=65)[1]


CHECKS = [check_parquet_is_the_csv]
