"""What clients say and hear, against services that we did not write: each one's own numbers are the report's."""

import csv
import datetime
import json
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from check_foreign import wait_for
from processes import LONGEST, RESURGE, UNTIMED, free_port, node, started


def scenario(groups, port, duration, rest=""):
    """A scenario of these groups against a service on this port."""
    head = f'name = "talk"\nduration = "{duration}"\n{UNTIMED}[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{port}/"\n'
    return head + groups.replace("PORT", str(port)) + rest


def rows(folder, file):
    """The rows of a file of a run."""
    return list(csv.DictReader((folder / file).open(newline="")))


class Run:
    """A run against a service, with what it wrote and what the service counted."""

    def __init__(self, command, groups, duration="6s", rest=""):
        port = free_port()
        with tempfile.TemporaryDirectory() as home, started(node(*command, port)) as service:
            assert "listening" in service.stdout.readline()
            path, folder = Path(home, "talk.toml"), Path(home, "run")
            path.write_text(scenario(groups, port, duration, rest))
            command = [RESURGE, "run", str(path), "--out", str(folder), "--progress", "none"]
            self.done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
            assert self.done.returncode == 0, (self.done.returncode, self.done.stdout, self.done.stderr)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
                self.counts = json.load(answer)
            self.json = json.loads((folder / "run.json").read_text())
            self.files = {file.name: rows(folder, file.name) for file in folder.glob("*.csv")}

    def row(self, file, **wanted):
        """The only row of a file with these values."""
        found = [row for row in self.files[file] if all(row[key] == value for key, value in wanted.items())]
        assert len(found) == 1, (file, wanted, self.files[file])
        return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in found[0].items()}


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
    run = Run(["talk.js"], group, rest='[[storms]]\nat = "3s"\nby = "client"\nhow = "close"\n')
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
    run = Run(["talk.js"], group, rest=storms)
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


SOCKET_IO = """
[[groups]]
name = "g"
clients = 5
token = { grant = "none" }
feeder = "rows.csv"
[groups.connect]
url = "ws://127.0.0.1:PORT/socket.io/?EIO=4&transport=websocket"
[groups.session]
first_message = '40{"n":{n},"token":"{token_of_row}"}'
ready = { message = { starts_with = "40{" } }
refused_on = [{ starts_with = "44", words = "/message" }]
kinds = { pointer = "/0" }
[[groups.session.say]]
name = "pong"
text = "3"
when = { on = { equals = "2" } }
[[groups.session.say]]
name = "ask"
text = '42{counter}["ask",{counter}]'
when = { rate = "20/s" }
reply = { starts_with = "43", correlate_by = { regex = '^43(\\d+)' }, check = ["/0/ok == true", "/0/n > 0"] }
"""


def check_socket_io_acknowledges() -> None:
    """Each event has its acknowledgement, each ping its pong, and a row of the feeder with a wrong token is refused by a packet."""
    with tempfile.TemporaryDirectory() as folder:
        feeder = Path(folder, "rows.csv")
        feeder.write_text("n,token_of_row\n1,t-1\n2,t-2\n3,t-3\n4,t-4\n5,hush-hush-hush\n")
        run = Run(["talk_libraries.js", "socket-io"], SOCKET_IO.replace("rows.csv", str(feeder)))
    row, counts = run.row("exchanges.csv", group="g", exchange="ask"), run.counts
    assert row["sent"] == counts["asked"] and row["sent"] > 400, (row, counts)
    assert 0 <= counts["bad"] - row["failed_checks"] <= row["unfinished"] and row["timeouts"] == row["unexpected"] == 0, (row, counts)
    assert row["ok"] + row["failed_checks"] + row["unfinished"] == row["sent"] and 15_000 - 1_000 < row["min_us"] < 16_500, row
    # One that was sent while the run ended has no pong.
    assert counts["sessions"] == 4 and counts["pings"] - 4 <= counts["pongs"] <= counts["pings"] and counts["pongs"] > 40, counts
    refused = [row for row in run.files["outcomes.csv"] if row["group"] == "g" and "refused" in row["outcome"]]
    assert refused and "hush" not in json.dumps(run.json) + run.done.stdout, refused
    print(f"        {row['sent']} acknowledged, p50 {row['p50_us'] / 1e3:.1f} ms; {counts['pongs']} pongs for {counts['pings']} pings")


MSGPACK = """
[[groups]]
name = "g"
clients = 4
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/socket.io/?EIO=4&transport=websocket"
[groups.session]
ready = { message = { pointer = "/data/sid" } }
binary = { format = "msgpack" }
kinds = { pointer = "/type" }
[[groups.session.say]]
text = '{"type":0,"nsp":"/","data":{"n":{client},"token":"t-{client}"}}'
binary = true
when = { on = { starts_with = "0{" } }
[[groups.session.say]]
text = "3"
when = { on = { equals = "2" } }
[[groups.session.say]]
name = "ask"
text = '{"type":2,"nsp":"/","data":["ask",{counter}],"id":{counter}}'
binary = true
when = { rate = "20/s" }
reply = { fields = { "/type" = 3 }, correlate_by = "/id", check = ["/data/0/ok == true"] }
"""


def check_socket_io_in_message_pack() -> None:
    """The same in MessagePack: what is said, and what the pointers find."""
    run = Run(["talk_libraries.js", "msgpack"], MSGPACK)
    row, counts = run.row("exchanges.csv", group="g", exchange="ask"), run.counts
    kinds = {row["kind"]: int(row["count"]) for row in run.files["kinds.csv"] if row["group"] == "g"}
    assert row["sent"] == counts["asked"] and row["sent"] > 400 and counts["sessions"] == 4, (row, counts)
    assert 0 <= counts["bad"] - row["failed_checks"] <= row["unfinished"] and row["timeouts"] == row["unexpected"] == 0, (row, counts)
    # An acknowledgement that comes while its client leaves has a kind, and ends no exchange any more.
    crossed = kinds["3"] - row["ok"] - row["failed_checks"]
    assert kinds["0"] == 4 and 0 <= crossed <= row["unfinished"], (kinds, row)
    assert counts["pings"] - 4 <= counts["pongs"] <= counts["pings"], counts
    print(f"        {row['sent']} acknowledged in MessagePack, p50 {row['p50_us'] / 1e3:.1f} ms")


GRAPHQL = """
[[groups]]
name = "g"
clients = 5
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/graphql"
subprotocols = ["graphql-transport-ws"]
[groups.session]
first_message = '{"type":"connection_init"}'
ready = { message = { pointer = "/type", equals = "connection_ack" } }
kinds = { pointer = "/type" }
[[groups.session.say]]
name = "subscribe"
text = '{"id":"{uuid}","type":"subscribe","payload":{"query":"subscription { ticks }"}}'
when = { every = "250ms" }
reply = { pointer = "/type", equals = "complete", correlate_by = "/id" }
[[groups.session.say]]
name = "sum"
text = '{"id":"q{counter}","type":"subscribe","payload":{"query":"{ sum(a: {random:1-9}, b: {counter}) }"}}'
when = { rate = "10/s", arrivals = "poisson" }
reply = { pointer = "/payload/data/sum", correlate_by = { regex = '"id":"q(\\d+)"' }, check = ["/payload/data/sum > 1", "/type == next"] }
[[groups.session.streams]]
name = "ticks"
pointer = "/payload/data/ticks"
stream = "/id"
sequence = "/payload/data/ticks"
at_most = 1000
"""


def check_graphql_ws_completes() -> None:
    """A subscription is an exchange that its completion ends, and its values are a stream; a query is answered by its id."""
    run = Run(["talk_libraries.js", "graphql-ws"], GRAPHQL)
    counts = run.counts
    subscribe, query = (run.row("exchanges.csv", group="g", exchange=name) for name in ("subscribe", "sum"))
    stream = run.row("streams.csv", group="g", stream="ticks")
    kinds = {row["kind"]: int(row["count"]) for row in run.files["kinds.csv"] if row["group"] == "g"}
    assert subscribe["sent"] == counts["subscribed"] and query["sent"] == counts["queries"] and query["sent"] > 200, (subscribe, query, counts)
    assert subscribe["ok"] + subscribe["unfinished"] == subscribe["sent"] and subscribe["min_us"] > 80_000, subscribe
    assert query["ok"] + query["unfinished"] == query["sent"], query
    assert stream["messages"] >= 5 * subscribe["ok"] and stream["missed"] == stream["late"] == stream["duplicates"] == 0, stream
    assert stream["messages"] <= counts["sent"] and stream["keys"] == subscribe["sent"], (stream, counts)
    # Both kinds of operations end with a completion.
    assert kinds["connection_ack"] == 5 and kinds["complete"] >= subscribe["ok"] + query["ok"], kinds
    # Those of queries; what comes while a client leaves has a kind, and is no exchange's reply any more.
    others = kinds["complete"] - subscribe["ok"]
    assert others - 5 <= subscribe["unexpected"] <= others, (subscribe, kinds)
    print(f"        {subscribe['sent']} subscriptions with {stream['messages']} values, {query['sent']} queries")


STOMP = """
[[groups]]
name = "g"
clients = 4
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/ws"
subprotocols = ["v12.stomp"]
[groups.session]
first_message = "CONNECT\\naccept-version:1.2\\nhost:localhost\\n\\n\\u0000"
ready = { message = { starts_with = "CONNECTED" } }
[[groups.session.say]]
name = "subscribe"
text = "SUBSCRIBE\\nid:s{client}\\ndestination:/topic/all\\n\\n\\u0000"
[[groups.session.say]]
name = "send"
text = "SEND\\ndestination:/topic/all\\ncontent-type:application/json\\n\\n{\\"from\\":{client},\\"n\\":{counter}}\\u0000"
when = { rate = "10/s" }
[[groups.session.streams]]
name = "others"
starts_with = "MESSAGE"
pointer = "/from"
stream = "/from"
sequence = "/n"
"""


def check_stomp_broker_sends_to_all() -> None:
    """What each client sends comes to all other subscribers, each sender's messages in its order and none left out."""
    run = Run(["talk_libraries.js", "stomp"], STOMP)
    stream, counts = run.row("streams.csv", group="g", stream="others"), run.counts
    assert counts["sessions"] == counts["subscribed"] == 4 and counts["sent"] > 200, counts
    assert stream["missed"] == stream["missed_away"] == stream["late"] == stream["duplicates"] == 0, stream
    # Some were on their way when the first clients left.
    assert counts["sent"] * 3 - 40 <= stream["messages"] <= counts["sent"] * 3 and stream["keys"] == 12, (stream, counts)
    print(f"        {counts['sent']} sent, {stream['messages']} received")


NCHAN = """
load_module {module};
daemon off;
master_process off;
error_log stderr crit;
pid {home}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /pub {{ nchan_publisher; nchan_channel_id news; nchan_message_buffer_length 0; }}
        location /sub {{ nchan_subscriber websocket; nchan_channel_id news; nchan_subscriber_first_message newest; }}
        location /status {{ nchan_stub_status; }}
    }}
}}
"""
NCHAN_GROUP = """
[[groups]]
name = "g"
clients = 10
token = { grant = "none" }
[groups.connect]
url = "ws://127.0.0.1:PORT/sub"
[[groups.session.streams]]
name = "news"
pointer = "/seq"
sequence = "/seq"
sent_at = { pointer = "/at", unit = "iso8601" }
"""


def publish(port, seconds):
    """Publishes a message in 20 ms for so long; answers with how many."""
    number, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
        body = json.dumps({"seq": 100 + number, "at": at}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/pub", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
        time.sleep(0.02)
    return number


def check_nchan_publishes() -> None:
    """nginx's nchan publishes to ten clients that are cut off once: each message that it published was received, or is told to be missed while away."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    port, groups = free_port(), NCHAN_GROUP + '[[storms]]\nat = "3s"\nby = "client"\nhow = "rst"\n'
    with tempfile.TemporaryDirectory() as home:
        config, path, folder = Path(home, "nginx.conf"), Path(home, "talk.toml"), Path(home, "run")
        config.write_text(NCHAN.format(home=home, port=port, module="/usr/lib/nginx/modules/ngx_nchan_module.so"))
        path.write_text(scenario(groups, port, "7s"))
        with started([nginx, "-c", str(config), "-p", home], stderr=subprocess.DEVNULL):
            wait_for(port)
            with started([RESURGE, "run", str(path), "--out", str(folder), "--progress", "none"], stderr=subprocess.STDOUT) as run:
                time.sleep(1.5)
                published = publish(port, 4.5)
                said = run.communicate(timeout=LONGEST)[0]
                assert run.returncode == 0, said
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
                status = answer.read().decode()
        row = next(row for row in rows(folder, "streams.csv") if row["group"] == "g")
    number = lambda key: int(row[key])
    assert f"total published messages: {published}" in status and published > 100, (published, status)
    assert number("missed") == number("late") == number("duplicates") == 0 < number("missed_away"), row
    assert number("messages") + number("missed_away") == published * 10, (row, published)
    assert number("blind_count") == 10 and number("below_zero") == 0 and number("p50_us") < 50_000, row
    print(f"        {published} published: {row['messages']} received, {row['missed_away']} missed while away; p50 {number('p50_us') / 1e3:.1f} ms")


CHECKS = [
    check_exchanges_by_their_numbers,
    check_streams_by_their_numbers,
    check_socket_io_acknowledges,
    check_socket_io_in_message_pack,
    check_graphql_ws_completes,
    check_stomp_broker_sends_to_all,
    check_nchan_publishes,
]
