"""What clients say and hear, against services that we did not write: each one's own numbers are the report's."""

import csv
import json
import statistics
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from processes import HERE, LONGEST, RESURGE, UNTIMED, free_port, node, started


class Run:
    """A run against a service, with what it wrote and what the service counted."""

    def __init__(self, script, groups, duration="6s", rest="", timed=False):
        with tempfile.TemporaryDirectory() as home, started(node(script, port := free_port())) as service:
            assert "listening" in service.stdout.readline()
            path, folder = Path(home, "talk.toml"), Path(home, "run")
            head = f'name = "talk"\nduration = "{duration}"\n{"" if timed else UNTIMED}[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{port}/"\n'
            path.write_text(head + groups.replace("PORT", str(port)) + rest)
            command = [RESURGE, "run", str(path), "--out", str(folder), "--progress", "none"]
            self.done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
            assert self.done.returncode == 0, (self.done.returncode, self.done.stdout, self.done.stderr)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
                self.counts = json.load(answer)
            self.json = json.loads((folder / "run.json").read_text())
            self.files = {file.name: list(csv.DictReader(file.open(newline=""))) for file in folder.glob("*.csv")}

    def row(self, file, **wanted):
        """The only row of a file with these values."""
        rows = [row for row in self.files[file] if all(row[key] == value for key, value in wanted.items())]
        assert len(rows) == 1, (file, wanted, self.files[file])
        return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in rows[0].items()}


def check_exchanges_by_their_numbers() -> None:
    """Each message has its reply, every tenth is not as it should be, and the latency is what the service took."""
    group = """
[[groups]]
name = "g"
clients = 10
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/echo"
[[groups.session.say]]
name = "ask"
text = '{"id":{counter}}'
when = { rate = "20/s", arrivals = "poisson" }
reply = { pointer = "/id", correlate_by = "/id", check = ["/ok == true"] }
[groups.session]
kinds = { pointer = "/ok" }
"""
    run = Run("talk.js", group, rest='[[storms]]\nat = "3s"\nby = "client"\nhow = "close"\n')
    row, counts = run.row("exchanges.csv", group="g", exchange="ask"), run.counts
    figures = {key: counts[key] for key in ("asked", "answered", "bad", "cut_off")}
    assert row["sent"] == counts["asked"] and row["sent"] > 900, (row, figures)
    heard, left = row["ok"] + row["failed_checks"], row["cut_off"] + row["unfinished"]
    assert heard + left == row["sent"] and row["timeouts"] == row["unexpected"] == 0, (row, figures)
    # A reply that is on its way when the client leaves is cut off for the client.
    crossed = counts["answered"] - heard
    assert 0 <= crossed <= left <= 20 and 0 <= counts["bad"] - row["failed_checks"] <= crossed, (row, figures)
    # From when the message was due to its reply; the quickest, for the machine may be busy: the way there and back is well below a millisecond.
    took, least = statistics.median(counts["took_ms"]), min(counts["took_ms"])
    assert least - 0.1 <= row["min_us"] / 1e3 <= least + 1, (least, row)
    kinds = {row["kind"]: int(row["count"]) for row in run.files["kinds.csv"] if row["group"] == "g"}
    more = {"true": kinds["true"] - row["ok"], "false": kinds["false"] - row["failed_checks"]}
    assert len(kinds) == 2 and min(more.values()) >= 0 and sum(more.values()) == crossed, (kinds, row)
    print(f"        {row['sent']} asked; p50 {row['p50_us'] / 1e3:.1f} ms, of which the service took {took:.1f}")


def truth(told):
    """Of what a client was told, by topic: messages, never came, late, twice."""
    seen, late, twice = [], 0, 0
    for number in told:
        if number in seen:
            twice += 1
        else:
            late += bool(seen) and number < max(seen)
            seen.append(number)
    missing = len(set(range(seen[0], max(seen) + 1)) - set(seen))
    return len(told), missing, late, twice


def check_streams_by_their_numbers() -> None:
    """What is lost, repeated and out of order is told stream by stream, over two outages, as the service knows it."""
    group = """
[[groups]]
name = "g"
clients = 5
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/topics?c={client}"
[[groups.session.streams]]
name = "topics"
pointer = "/topic"
stream = "/topic"
sequence = "/seq"
sent_at = { pointer = "/at", unit = "ms" }
[groups.session]
kinds = { pointer = "/topic" }
"""
    storms = '[[storms]]\nat = "2s"\nby = "client"\nhow = "close"\n[[storms]]\nat = "4s"\nby = "client"\nhow = "close"\n'
    run = Run("talk.js", group, rest=storms)
    row = run.row("streams.csv", group="g", stream="topics")
    sums = [0, 0, 0, 0]
    for told in run.counts["told"].values():
        for topic in ("a", "b"):
            of_topic = truth([number for one, number in told if one == topic])
            sums = [sum_ + more for sum_, more in zip(sums, of_topic)]
    seen = [row["messages"], row["missed"] + row["missed_away"], row["late"], row["duplicates"]]
    assert seen == sums, (seen, sums, row)
    assert row["missed"] > 100 and row["missed_away"] > 20 and row["keys"] == 10, row
    assert row["blind_count"] == 5 * 2 * 2, row
    print(f"        of {sums[0]} messages: {row['missed']} missed, {row['missed_away']} while away, {sums[2]} late, {sums[3]} twice")


CHECKS = [check_exchanges_by_their_numbers, check_streams_by_their_numbers]
