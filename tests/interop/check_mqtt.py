"""MQTT over WebSocket, against brokers that we did not write: each one's own numbers are the report's."""

import collections
import csv
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from processes import LONGEST, RESURGE, UNTIMED, free_port, node, started, target, unwrapped

NONE = 'token = { grant = "none" }'


class Run:
    """A run against a broker, read back."""

    def __init__(self, home, port, groups, duration, token_url="", rest=""):
        path, folder = Path(home, "mqtt.toml"), Path(home, "run")
        head = f'name = "mqtt"\nduration = "{duration}"\n{UNTIMED}[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{port}/mqtt"\n'
        path.write_text(head + (f'token_url = "{token_url}"\n' if token_url else "") + groups + rest)
        command = [RESURGE, "run", str(path), "--out", str(folder), "--progress", "none"]
        self.done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        # Groups of which nobody is let in are no load: that, and nothing else, is said of the run.
        faults = re.findall(r"^  ! (.*)", unwrapped(self.done.stdout), re.MULTILINE)
        assert self.done.returncode == 110, (self.done.returncode, self.done.stdout, self.done.stderr)
        assert faults and all("ever had a session" in fault for fault in faults), self.done.stdout
        self.files = {file.name: list(csv.DictReader(file.open(newline=""))) for file in folder.glob("*.csv")}
        told = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
        assert b"good-u1" not in told and b"swordfish" not in told, "a password is in the run folder"

    def rows(self, file, **wanted):
        """Those with these values, their numbers read."""
        rows = [row for row in self.files[file] if all(row[key] == value for key, value in wanted.items())]
        return [{key: int(value) if value.isdigit() else value for key, value in row.items()} for row in rows]

    def row(self, file, **wanted):
        """The only one of them."""
        rows = self.rows(file, **wanted)
        assert len(rows) == 1, (file, wanted, self.files[file])
        return rows[0]

    def attempts(self, group, outcome):
        """How many of a group's attempts ended so."""
        return sum(row["count"] for row in self.rows("outcomes.csv", group=group, outcome=outcome))

    def answers(self, group):
        """What refused a group's clients: outcome, cause, words, ground."""
        keys = ("outcome", "cause", "said", "ground")
        return {tuple(row[key] for key in keys): row["count"] for row in self.rows("outcomes.csv", group=group) if row["outcome"] != "ok"}


def group(name, clients, mqtt, token=NONE, more=""):
    """A group that speaks MQTT."""
    return f"""
[[groups]]
name = "{name}"
clients = {clients}
{token}
[groups.connect]
token_in = "nowhere"
[groups.reconnect]
backoff = {{ kind = "constant", base = "300ms" }}
max_attempts = 3
{more}
[groups.session.mqtt]
client_id = "{name}-{{client}}"
{mqtt}
"""


TALK = """
username = "u{client}"
password = "good-u{client}"
subscribe = [{ topic = "prices/{client}", qos = 1 }]
[[groups.session.mqtt.publish]]
name = "telemetry"
topic = "t/{client}"
payload = '{"n":{counter}}'
qos = 1
when = { rate = "10/s" }
timeout = "5s"
[[groups.session.mqtt.publish]]
name = "loose"
topic = "t/{client}"
payload = '{"n":{counter}}'
when = { every = "500ms" }
[[groups.session.streams]]
name = "prices"
pointer = "/kind"
sequence = "/seq"
"""


def check_aedes() -> None:
    """Connects, refusals, subscriptions, publishes, pings and dead tokens: the broker counted as many; a broker without MQTT 5 says so."""
    bad = 'username = "w{client}"\npassword = "swordfish"'
    groups = [
        group("talk", 10, TALK),
        group("quiet", 5, 'username = "q{client}"\npassword = "good-q{client}"\nkeep_alive = "1s"'),
        group("denied", 4, 'username = "d{client}"\npassword = "good-d{client}"\nsubscribe = [{ topic = "secret/{client}" }]'),
        group("wrong", 3, bad),
        group("locked", 2, 'username = "locked"\npassword = "x"'),
        group("newer", 2, 'version = "5"\n' + bad),
        group(
            "learn",
            4,
            'username = "once{client}"\npassword = "{token}"',
            '[groups.token]\nclient_id = "demo-client"\nclient_secret = "demo-secret"\non_reconnect = "reuse"',
        ).replace("max_attempts = 3", 'refetch_on = ["bad_user_name_or_password"]'),
    ]
    storm = '[[storms]]\nat = "3s"\nby = "client"\nhow = "close"\n'
    with tempfile.TemporaryDirectory() as home, target("bearer") as tokens, started(node("mqtt.js", port := free_port())) as service:
        assert "listening" in service.stdout.readline()
        run = Run(home, port, "".join(groups), "6s", f"http://{tokens}/oauth/token", storm)
        time.sleep(0.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
            counts = json.load(answer)
    names = {"talk": "u", "quiet": "q", "denied": "d", "learn": "once"}
    let_in = {name: run.attempts(name, "ok") for name in names}
    assert let_in == {name: counts["connects"].get(user) for name, user in names.items()}, (let_in, counts)
    assert let_in == {"talk": 20, "quiet": 10, "denied": 8, "learn": 8}, let_in
    # Whoever keeps a password that was used is refused by its first attempt to come back, and comes back by another one.
    wrong, dead = run.answers("wrong"), run.answers("learn")
    words = "bad_user_name_or_password"
    assert {key[:3] for key in wrong} == {("refused_message", "unknown", words)} and sum(wrong.values()) == counts["refused"]["w"], (wrong, counts)
    assert dead == {("refused_message", "stale_token", words, "proved"): 4} and counts["refused"]["once"] == 4, (dead, counts)
    locked, newer = run.answers("locked"), run.answers("newer")
    assert {key[2] for key in locked} == {"not_authorized"} and sum(locked.values()) == counts["refused"]["locked"], (locked, counts)
    assert {key[2] for key in newer} == {"unsupported_protocol_version"}, newer
    asked, telemetry = run.row("exchanges.csv", group="talk", exchange="subscribe"), run.row("exchanges.csv", group="talk", exchange="telemetry")
    assert asked["sent"] == asked["ok"] == counts["subscribes"] == 20, (asked, counts)
    assert telemetry["sent"] == counts["published"][1] > 200, (telemetry, counts)
    assert telemetry["ok"] + telemetry["cut_off"] + telemetry["unfinished"] == telemetry["sent"], telemetry
    assert telemetry["failed_checks"] == telemetry["timeouts"] == telemetry["unexpected"] == 0, telemetry
    denied = run.row("exchanges.csv", group="denied", exchange="subscribe")
    assert denied["sent"] == denied["failed_checks"] == counts["denied"] == 8, (denied, counts)
    prices = run.row("streams.csv", group="talk", stream="prices")
    assert counts["published"][0] > 40 and prices["missed"] == prices["late"] == prices["duplicates"] == 0, (prices, counts)
    # One that was on its way when its client left is not heard.
    assert 0 <= counts["answered"] - prices["messages"] <= 40, (prices, counts)
    # Each says nothing for three seconds, twice.
    assert 10 <= counts["pings"]["q"] <= 30 and set(counts["pings"]) == {"q"} and set(counts["protocols"]) == {"mqtt"}, counts
    print(f"        {telemetry['sent']} published and acknowledged, {prices['messages']} heard, {counts['pings']['q']} pings, {sum(wrong.values())} refused")


OWN = """
version = "VERSION"
username = "u"
password = "good-u1"
keep_alive = "KEEP"
subscribe = [{ topic = "t/{client}/VERSION", qos = 1 }]
[[groups.session.mqtt.publish]]
name = "telemetry"
topic = "t/{client}/VERSION"
payload = '{"n":{counter}}'
qos = 1
when = { rate = "10/s" }
[[groups.session.streams]]
name = "own"
pointer = "/n"
sequence = "/n"
"""


def mosquitto(home, port):
    """The command of a broker with a password file, which logs every packet."""
    passwords, config = Path(home, "passwords"), Path(home, "mosquitto.conf")
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "u", "good-u1"], check=True, capture_output=True)
    passwords.chmod(0o644)
    Path(home).chmod(0o755)
    # Without a plain listener, this version does not start.
    listeners = f"listener {port} 127.0.0.1\nprotocol websockets\nlistener {free_port()} 127.0.0.1\n"
    config.write_text(f"{listeners}allow_anonymous false\npassword_file {passwords}\nlog_dest stderr\nlog_type all\nmax_queued_messages 0\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    return [program, "-c", str(config)]


def check_mosquitto() -> None:
    """Both versions: every packet that the broker logged is in the report, wrong passwords are refused, and a client hears what it has published."""
    wrong = 'version = "VERSION"\nusername = "u"\npassword = "swordfish"'
    groups, clients = [], {"3.1.1": "v4", "5": "v5"}
    for version, name in clients.items():
        groups.append(group(name, 5, OWN.replace("VERSION", version).replace("KEEP", "30s")))
        groups.append(group(f"{name}quiet", 3, f'version = "{version}"\nusername = "u"\npassword = "good-u1"\nkeep_alive = "1s"'))
        groups.append(group(f"{name}wrong", 2, wrong.replace("VERSION", version)))
    storm = '[[storms]]\nat = "2500ms"\nby = "client"\nhow = "close"\n'
    lines = []
    with tempfile.TemporaryDirectory() as home, started(mosquitto(home, port := free_port()), stderr=subprocess.STDOUT) as broker:
        for line in broker.stdout:
            lines.append(line)
            if line.rstrip().endswith("running"):
                break
        reading = threading.Thread(target=lambda: lines.extend(broker.stdout))
        reading.start()
        run = Run(home, port, "".join(groups), "5s", rest=storm)
        time.sleep(0.3)
        broker.terminate()
        reading.join(10)
    log = collections.Counter()
    for line in lines:
        if packet := re.search(r"(Received|Sending) ([A-Z]+) (?:from|to) (v[45][a-z]*)-\d+", line):
            log[packet[3], packet[1][0] + packet[2]] += 1
        if new := re.search(r"New client connected from \S+ as (v[45][a-z]*)-\d+ \(p(\d)", line):
            log[new[1], f"in by {new[2]}"] += 1
    for name, level in (("v4", 2), ("v5", 5)):
        tells = {key: count for key, count in log.items() if key[0].startswith(name)}
        for who, wanted in ((name, 10), (f"{name}quiet", 6)):
            assert run.attempts(who, "ok") == log[who, f"in by {level}"] == wanted, (who, tells, run.files["outcomes.csv"])
            # Every client says that it leaves.
            assert log[who, "RDISCONNECT"] == wanted, tells
        refused = run.answers(f"{name}wrong")
        assert {key[:3] for key in refused} == {("refused_message", "unknown", "not_authorized")}, refused
        asked, sent = run.row("exchanges.csv", group=name, exchange="subscribe"), run.row("exchanges.csv", group=name, exchange="telemetry")
        assert asked["sent"] == asked["ok"] == log[name, "RSUBSCRIBE"] == log[name, "SSUBACK"] == 10, (asked, tells)
        assert sent["sent"] == log[name, "RPUBLISH"] == log[name, "SPUBACK"] > 100, (sent, tells)
        assert sent["ok"] + sent["cut_off"] + sent["unfinished"] == sent["sent"] and sent["unexpected"] == 0, sent
        heard = run.row("streams.csv", group=name, stream="own")
        # What the broker sent to a client that was leaving is not acknowledged any more.
        assert log[name, "RPUBACK"] <= heard["messages"] <= log[name, "SPUBLISH"] <= log[name, "RPUBACK"] + 10, (heard, tells)
        assert heard["missed"] == heard["late"] == heard["duplicates"] == 0, heard
        pings = log[f"{name}quiet", "RPINGREQ"]
        assert pings == log[f"{name}quiet", "SPINGRESP"] and 4 <= pings <= 15 and not log[name, "RPINGREQ"], tells
    print(f"        {log['v4', 'RPUBLISH']} and {log['v5', 'RPUBLISH']} published by 3.1.1 and 5, {sum(log[name, 'RPINGREQ'] for name in ('v4quiet', 'v5quiet'))} pings")


CHECKS = [check_aedes, check_mosquitto]
