"""Rules for messages against a service that we did not write: `websockets` says what it says, and hears which rules meant it.

Every rule of a client answers a message that it means with its own name; the service reads each message with a JSON parser and regular expressions of
its own, and says which rules should have.
"""

import asyncio
import json
import re
import subprocess
import tempfile
import threading
from collections import Counter
from pathlib import Path

from websockets.asyncio.server import serve

from processes import LONGEST, RESURGE, UNTIMED

SEPARATOR = "\u001e"
# What the service says, one frame each; those of a tuple stand in one.
FRAMES = [
    '{"op":10,"d":{"ok":true}}',
    '{"op":"10"}',
    '{"op":1,"op":10}',
    '42["moved",{"to":"b"}]',
    '42/chat,7["moved",{"to":"\\u00e9"}]',
    '43["other"]',
    "2",
    " 2",
    ('{"type":6}', '{"type":7,"error":"gone"}'),
    ('{"type":7}', "2", ""),
    "[1,[2,{\"deep\":[0,{\"x\":null}]}]]",
    "no JSON {at all",
    b"\x20\x02\x00\x05",
    b"\x20\x02\x00\x00",
    b"\xff\xfe",
    b"",
]
# name: (as the scenario has it, whether a message of the service is meant)
RULES = {
    "ten": ({"pointer": "/op", "equals": 10}, lambda text, json_, _: at(json_, "op") == 10 and not isinstance(at(json_, "op"), bool)),
    "ten-text": ({"pointer": "/op", "equals": "10"}, lambda text, json_, _: at(json_, "op") == "10"),
    "ok": ({"fields": {"/op": 10, "/d/ok": True}}, lambda text, json_, _: at(json_, "op") == 10 and at(json_, "d", "ok") is True),
    "moved": ({"starts_with": "42", "pointer": "/0", "equals": "moved"}, lambda text, json_, _: (text or "").startswith("42") and at(json_, 0) == "moved"),
    "accent": ({"pointer": "/1/to", "equals": "é"}, lambda text, json_, _: at(json_, 1, "to") == "é"),
    "packet": ({"matches": "^4[23][^\\[]*\\["}, lambda text, json_, _: bool(re.search(r"^4[23][^\[]*\[", text or ""))),
    "ping": ({"equals": "2"}, lambda text, json_, _: text == "2"),
    "close": ({"contains": "type", "pointer": "/type", "equals": 7}, lambda text, json_, _: at(json_, "type") == 7),
    "error": ({"fields": {"/type": 7}, "pointer": "/error"}, lambda text, json_, _: at(json_, "type") == 7 and at(json_, "error") is not None),
    "deep": ({"pointer": "/1/1/deep/1/x"}, lambda text, json_, _: there(json_, 1, 1, "deep", 1, "x")),
    "refused": ({"binary_starts_with": "20020005"}, lambda text, json_, data: (data or b"").startswith(b"\x20\x02\x00\x05")),
    "connack": ({"binary_starts_with": "2002"}, lambda text, json_, data: (data or b"").startswith(b"\x20\x02")),
}
CLIENTS = 3


def at(value, *path):
    """What stands there; nothing else."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def there(value, *path):
    """Whether anything does, `null` included."""
    *outer, last = path
    value = at(value, *outer)
    return isinstance(value, dict) and last in value


def json_of(text):
    """The JSON of a message, behind what stands before its first bracket."""
    begin = re.search(r"[\[{]", text)
    try:
        return json.loads(text[begin.start() if begin else 0 :])
    except ValueError:
        return None


def expected():
    """How often each rule means one of the messages."""
    wanted = Counter()
    for frame in FRAMES:
        parts = frame if isinstance(frame, tuple) else (frame,)
        for part in filter(lambda part: isinstance(part, bytes) or part, parts):
            text, data = (part, None) if isinstance(part, str) else (None, part)
            value = json_of(text) if text is not None else None
            wanted.update(name for name, (_, means) in RULES.items() if means(text, value, data))
    return wanted


class Service:
    """Says all of it to each client, and counts what they answer."""

    def __init__(self):
        self.heard = Counter()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.stopping = None
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.main(),))

    async def session(self, connection):
        for frame in FRAMES:
            await connection.send(SEPARATOR.join(frame) if isinstance(frame, tuple) else frame)
        async for message in connection:
            self.heard[message] += 1

    async def main(self):
        self.stopping = asyncio.Event()
        async with serve(self.session, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.stopping.wait()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(10)


def written(value):
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {written(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def scenario(port):
    """Clients with all the rules."""
    rules = "".join(
        "[[groups.session.on_message]]\n" + "".join(f"{key} = {written(value)}\n" for key, value in keys.items()) + f'reply = "{name}"\n'
        for name, (keys, _) in RULES.items()
    )
    return f"""
name = "messages"
duration = "1500ms"
{UNTIMED}
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/"
[[groups]]
name = "g"
clients = {CLIENTS}
token = {{ grant = "none" }}
[groups.session]
split = "\\u001e"
{rules}
"""


def check_rules_for_messages() -> None:
    """Every message is meant by the rules that mean it, and by no other."""
    with Service() as service, tempfile.TemporaryDirectory() as home:
        path, folder = Path(home) / "messages.toml", Path(home) / "run"
        path.write_text(scenario(service.port))
        command = [RESURGE, "run", str(path), "--out", str(folder), "--progress", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        wanted = {name: count * CLIENTS for name, count in expected().items()}
        assert dict(service.heard) == wanted, (service.heard, wanted)
        assert set(wanted) == set(RULES), "each rule means something"
        counters = json.loads((folder / "run.json").read_text())["accounting"]["all"]["counters"]
        assert counters["messages_in"] == len(FRAMES) * CLIENTS, counters
        assert counters["messages_out"] == sum(wanted.values()), counters


CHECKS = [check_rules_for_messages]
