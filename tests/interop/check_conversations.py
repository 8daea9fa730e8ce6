"""The conversations of the shipped service scenarios: with servers that we did not write, and beside the real client libraries.

Socket.IO, graphql-ws, RabbitMQ (STOMP) and an Ethereum node (JSON-RPC) serve the very groups of the scenarios: what they counted is what the report says.
Of SignalR, Centrifugo, Pusher and Phoenix there is no server to be had here: their client libraries say the same to the scenario's target, have their
replies and events there, and what they send is what the scenario's clients send, frame by frame, but for ids and numbers.
"""

import concurrent.futures
import csv
import json
import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

from check_foreign import wait_for
from libraries import SERVICES, Proxy, fetch_token
from processes import LONGEST, RESURGE, UNTIMED, end_and_read, free_port, node, started, target

UNKNOWN = "of-another-world"
# Of a library that asks so often.
TIMES = 3


def groups_of(scenario, *names, address, clients=5):
    """The groups of a shipped scenario as they stand there, but for how many clients there are, and where they connect."""
    text = (SERVICES / f"{scenario}.toml").read_text()
    parts = re.split(r"(?m)^(?=\[\[groups\]\]$|\[\[storms\]\]$|\[thresholds\]$)", text)
    named = {re.search(r'name = "(.+)"', part)[1]: part for part in parts if part.startswith("[[groups]]")}
    chosen = "".join(named[name] for name in names).replace("{address}", address)
    chosen = re.sub(r'(?m)^path = "', f'url = "http://{address}', chosen)
    return re.sub(r"(?m)^clients = \d+$", f"clients = {clients}", chosen)


def agree(row, counted):
    """Whether all that was sent was counted, but for what was open when the client left."""
    return 0 <= row["sent"] - counted <= row["unfinished"]


class Run:
    """A run of groups against an address, and what it wrote."""

    def __init__(self, groups, address, endpoint, duration="5s", code=0, path="/"):
        head = f'name = "conversation"\nduration = "{duration}"\n{UNTIMED}[target]\nkind = "remote"\n'
        head += f'url = "ws://{address}{path}"\ntoken_url = "http://{endpoint}/oauth/token"\n'
        with tempfile.TemporaryDirectory() as home:
            file, folder = Path(home, "conversation.toml"), Path(home, "run")
            file.write_text(head + groups)
            command = [RESURGE, "run", str(file), "--out", str(folder), "--progress", "none"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
            assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
            self.said = done.stdout + done.stderr
            self.files = {file.name: list(csv.DictReader(file.open(newline=""))) for file in folder.glob("*.csv")}

    def row(self, file, **wanted):
        """The only row of a file with these values."""
        found = [row for row in self.files[file] if all(row[key] == value for key, value in wanted.items())]
        assert len(found) == 1, (file, wanted, self.files[file])
        return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in found[0].items()}

    def exchange(self, name):
        """An exchange, each of whose messages had its reply, or was open when the run ended."""
        row = self.row("exchanges.csv", exchange=name)
        assert row["sent"] == row["ok"] + row["failed_checks"] + row["unfinished"] > 0 == row["unexpected"], row
        return row

    def stream(self, name):
        """A stream of which nothing is missed, late or double."""
        row = self.row("streams.csv", stream=name)
        assert row["missed"] == row["missed_away"] == row["late"] == row["duplicates"] == 0 < row["messages"], row
        return row

    def refusals(self, group):
        """What a group was told that was never let in, and how often."""
        outcomes = [row for row in self.files["outcomes.csv"] if row["group"] == group]
        assert {row["outcome"] for row in outcomes} == {"refused_message"}, outcomes
        return {row["said"]: sum(int(other["count"]) for other in outcomes if other["said"] == row["said"]) for row in outcomes}


def served(mode, scenario, *groups):
    """The groups against a server of a library; the run, and what the server counted."""
    with started(node("conversations.js", mode)) as service:
        port, endpoint = service.stdout.readline().split()
        address = f"127.0.0.1:{port}"
        run = Run(groups_of(scenario, *groups, address=address), address, f"127.0.0.1:{endpoint}", code=110 if len(groups) > 1 else 0)
        return run, end_and_read(service)


def check_socket_io_scenario() -> None:
    """Acknowledgements, pings, news, and a token that the middleware refuses."""
    run, counts = served("socket-io", "socket-io", "answers", "unknown-token")
    ask, news = run.exchange("ask"), run.stream("news")
    assert agree(ask, counts["asked"]) and ask["sent"] > 30 and ask["failed_checks"] == 0 == ask["timeouts"], (ask, counts)
    assert 0 <= counts["sent"] - news["messages"] <= 5 == counts["sessions"], (news, counts)
    assert counts["pings"] - 5 <= counts["pongs"] <= counts["pings"] and counts["pongs"] > 40, counts
    assert run.refusals("unknown-token") == {"unknown_token": counts["refused"]} and counts["refused"] == 5, (run.files["outcomes.csv"], counts)
    assert UNKNOWN not in run.said, run.said
    print(f"        {ask['sent']} acknowledged, {news['messages']} news, {counts['pongs']} pongs, {counts['refused']} refused")


def check_graphql_ws_scenario() -> None:
    """Queries and their results, subscriptions, their values and their completions."""
    run, counts = served("graphql-ws", "graphql-ws", "subscribers")
    query, subscribe, ticks = run.exchange("query"), run.exchange("subscribe"), run.stream("ticks")
    assert agree(query, counts["asked"]) and query["sent"] > 25 and query["failed_checks"] == 0, (query, counts)
    left = subscribe["unfinished"]
    assert agree(subscribe, counts["subscribed"]) and subscribe["ok"] >= 5, (subscribe, counts)
    # The service does not know at once who has left.
    assert 0 <= counts["completed"] - subscribe["ok"] <= left and 0 <= counts["sent"] - ticks["messages"] <= 5 * left, (subscribe, ticks, counts)
    assert subscribe["ok"] <= ticks["keys"] <= subscribe["sent"] and ticks["messages"] >= 5 * subscribe["ok"], (subscribe, ticks)
    print(f"        {query['sent']} queries, {subscribe['ok']} subscriptions with {ticks['messages']} values")


def check_json_rpc_scenario() -> None:
    """An Ethereum node answers each call, and one that it does not know by an error; each client hears of each block."""
    run, counts = served("json-rpc", "json-rpc", "followers")
    subscribe, number, unknown = (run.exchange(name) for name in ("subscribe", "block-number", "unknown-method"))
    blocks, methods = run.stream("blocks"), counts["methods"]
    sent = {"eth_subscribe": subscribe, "eth_blockNumber": number, "eth_unknown": unknown}
    assert all(agree(row, methods.get(name, 0)) for name, row in sent.items()) and number["sent"] > 25, (sent, methods)
    assert subscribe["ok"] == 5 and number["failed_checks"] == 0 == unknown["ok"] < unknown["failed_checks"], (subscribe, number, unknown)
    assert blocks["keys"] == 5 and 50 < blocks["messages"] <= counts["sent"] * 5, (blocks, counts)
    print(f"        {sum(methods.values())} calls, {blocks['messages']} notifications of {counts['sent']} blocks")


RABBIT = """
listeners.tcp.1 = 127.0.0.1:{amqp}
stomp.listeners.tcp = none
web_stomp.tcp.ip = 127.0.0.1
web_stomp.tcp.port = {web}
default_user = app
default_pass = apps-own-passcode
log.file = false
log.console = true
log.console.level = error
"""
RABBIT_BIN = "/usr/lib/rabbitmq/bin"


def check_stomp_scenario() -> None:
    """RabbitMQ confirms each message that it has queued, delivers it, and refuses who does not know the passcode."""
    epmd, dist, amqp, web = (free_port() for _ in range(4))
    address = f"127.0.0.1:{web}"
    groups = groups_of("stomp", "publishers", "wrong-passcode", address=address)
    groups = groups.replace('client_id = "app"\nclient_secret = "demo-secret"', 'grant = "fixed"\ntoken = "apps-own-passcode"')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        Path(home, "plugins").write_text("[rabbitmq_web_stomp].\n")
        Path(home, "rabbit.conf").write_text(RABBIT.format(amqp=amqp, web=web))
        names = {"MNESIA_BASE": "mnesia", "LOG_BASE": "log", "ENABLED_PLUGINS_FILE": "plugins", "CONFIG_FILE": "rabbit.conf", "PID_FILE": "pid"}
        environment = os.environ | {f"RABBITMQ_{name}": f"{home}/{file}" for name, file in names.items()}
        environment |= {"HOME": home, "RABBITMQ_NODENAME": "interop@localhost", "RABBITMQ_DIST_PORT": str(dist)}
        environment |= {"ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1", "LC_ALL": "C.UTF-8"}
        quiet = {"env": environment, "stderr": subprocess.DEVNULL}
        with started(["epmd"], **quiet), started([f"{RABBIT_BIN}/rabbitmq-server"], **quiet) as broker:
            # Its pipe must not fill up.
            threading.Thread(target=broker.stdout.read, daemon=True).start()
            wait_for(web, 60)
            # A run in which nobody of a group was ever in is not valid.
            run = Run(groups, address, address, code=110)
            control = [f"{RABBIT_BIN}/rabbitmqctl", "-n", "interop@localhost", "--quiet", "list_queues", "messages", "--no-table-headers"]
            left = subprocess.run(control, capture_output=True, text=True, timeout=LONGEST, env=environment).stdout.split()
    subscribe, send, messages = run.exchange("subscribe"), run.exchange("send"), run.stream("messages")
    # What was not delivered when its subscriber left is still queued.
    queued = sum(map(int, left))
    assert subscribe["ok"] == 5 == len(left) and send["failed_checks"] == send["timeouts"] == 0, (subscribe, send, left)
    assert send["ok"] > 30 and send["ok"] <= messages["messages"] + queued <= send["sent"], (send, messages, queued)
    assert run.refusals("wrong-passcode") == {"Bad CONNECT": 10}, run.files["outcomes.csv"]
    assert UNKNOWN not in run.said and "apps-own" not in run.said, run.said
    print(f"        {send['ok']} confirmed, {messages['messages']} delivered, {queued} left; p50 {send['p50_us'] / 1e3:.1f} ms")


class Wire(Proxy):
    """Passes bytes on, and keeps the texts that clients send."""

    def __init__(self, to):
        self.texts = []
        super().__init__(to)

    def ask(self, client, server, is_session):
        """Passes on what the client says."""
        rest = bytearray()
        try:
            while data := client.recv(65536):
                rest += data
                if not is_session.is_set():
                    head, end, _ = rest.partition(b"\r\n\r\n")
                    if end and b"upgrade: websocket" in head.lower():
                        is_session.set()
                        del rest[: len(head) + 4]
                    elif end:
                        rest.clear()
                while is_session.is_set() and (frame := take_frame(rest)):
                    opcode, payload = frame
                    if opcode == 1:
                        self.texts.append(payload.decode())
                server.sendall(data)
            server.shutdown(1)
        except OSError:
            pass


def take_frame(data):
    """The first frame that a client has sent (RFC 6455 section 5.2), which is in one piece here; None: it is not whole."""
    if len(data) < 2:
        return None
    length, at = data[1] & 127, 2
    if length >= 126:
        size = 2 if length == 126 else 8
        length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    end = at + 4 + length
    if len(data) < end:
        return None
    mask = data[at : at + 4]
    payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at + 4 : end]))
    opcode = data[0] & 15
    del data[:end]
    return opcode, payload


def shape(text):
    """A message without its ids, numbers and tokens; keys and headers in one order."""
    text = re.sub(r'"(token|id)":"[^"]*"', r'"\1":"0"', re.sub(r"passcode:.*", "passcode:", text))
    # By its flag centrifuge-js wants numbers for the names of channels, which the scenario reads.
    text = re.sub(r"\d+", "0", re.sub(r',"flag":\d+', "", text))
    at = re.search(r"[\[{]", text)
    if text.startswith(("CONNECT", "SUBSCRIBE", "SEND")):
        head, _, body = text.partition("\n\n")
        return "\n".join([head.split("\n")[0], *sorted(head.split("\n")[1:]), "", body])
    return text[: at.start()] + json.dumps(json.loads(text[at.start() :]), sort_keys=True) if at else text


# What a library is called, the scenario's group that does the same, and what stands between the messages of a frame; what the library hears of its replies
# and events; and what it is told where its token is not known.
LIBRARIES = {
    "socket-io": ("socket-io", "answers", None, (TIMES, TIMES), "unknown_token"),
    "graphql-ws": ("graphql-ws", "subscribers", None, (TIMES, 3), 4403),
    "signalr-negotiate": ("signalr", "hub-clients", "\x1e", (TIMES, TIMES), None),
    "centrifugo": ("centrifuge", "refreshes", "\n", (TIMES, TIMES), 3500),
    "pusher": ("pusher", "listeners", None, None, 4001),
    "phoenix": ("phoenix", "beating", None, (TIMES, TIMES), None),
    "stomp": ("stomp", "publishers", None, (TIMES, TIMES), "Bad CONNECT"),
}


def talk(library, address, token):
    """What a library was told."""
    done = subprocess.run(node("talkers.js", library, address, token), capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, (library, done.stdout, done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(scenario):
    """A library and the scenario's own clients, each with the scenario's target; answers with how many kinds of messages both send."""
    library, group, split, expected, refusal = LIBRARIES[scenario]
    rules = {} if scenario in ("phoenix", "signalr-negotiate") else {"storms": "[]"}
    with target(str(SERVICES / f"{scenario}.toml"), **rules) as address:
        theirs, ours = Wire(address), Wire(address)
        token = fetch_token(address)
        told = talk(library, theirs.address, token)
        Run(groups_of(scenario, group, address=ours.address, clients=2), ours.address, address, duration="4s")
        assert told["complaints"] == [] and told["refused"] == [], (scenario, told)
        assert (told["replies"], told["events"]) == expected or (expected is None and min(told["replies"], told["events"]) > 2), (scenario, told)
        if refusal is not None:
            refused = talk(library, address, UNKNOWN)
            assert refusal in refused["refused"] and refused["replies"] == 0, (scenario, refused)
    parts = lambda text: text.split(split) if split else [text]
    of = [{shape(part) for text in wire.texts for part in parts(text) if part} for wire in (theirs, ours)]
    assert of[0] == of[1] and of[0], (scenario, "only the library:", of[0] - of[1], "only the scenario:", of[1] - of[0])
    theirs.close()
    ours.close()
    return len(of[0])


def check_libraries_say_the_same() -> None:
    """Each library has its replies and events, and what it sends is what the scenario's clients send."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        kinds = dict(zip(LIBRARIES, pool.map(compare, LIBRARIES)))
    print(f"        the same messages, of so many kinds: {', '.join(f'{name} {number}' for name, number in kinds.items())}")


CHECKS = [
    check_socket_io_scenario,
    check_graphql_ws_scenario,
    check_json_rpc_scenario,
    check_stomp_scenario,
    check_libraries_say_the_same,
]
