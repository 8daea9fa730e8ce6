"""The forum thread, replayed with the clients that people use: Node's `ws` 8.16.0 and Python's `websockets`.

The thread's first snippet gets 101, then the close 1001, then 403; its corrected one gets 101 again and again; and where the scope is
missing, the corrected one spins. Each client's own counts agree with the target's.
"""

import asyncio
import json
import subprocess
import urllib.parse
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from processes import LONGEST, closes_of, counters, node, refused_of, target

WITHOUT_SCOPE = '[{ id = "thread", secret = "demo-secret", scopes = ["users:read"] }]'


def run_node(recipe, address, turns):
    """Runs the thread's client; answers with its exit code, its counts, and what it wrote to stderr."""
    done = subprocess.run(node("thread.js", recipe, address, turns), capture_output=True, text=True, timeout=LONGEST)
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


def check_agreement(count, counted):
    """The client's counts are the target's. A refusal is a close with 1006 to `ws` alone: on the wire there is none."""
    assert counted["tokens_issued"] == count["tokens"], (count, counted)
    assert counted["upgrades"] == count["opened"], (count, counted)
    assert refused_of(counted) == count["refused"], (count, counted)
    sessions = {code: n for code, n in count["closes"].items() if code != "1006"}
    assert closes_of(counted) == sessions, (count, counted)


def check_node_first_snippet():
    """101, close 1001, then 403, which is an uncaught exception and the process's end."""
    with target("forum", idle_timeout="2s") as address:
        code, count, errors = run_node("first", address, 9)
        counted = counters(address)
    assert code == 1 and "Unexpected server response: 403" in errors, (code, errors)
    assert count["opened"] == 1 and count["closes"] == {"1001": 1}, count
    assert [(refused["status"], refused["cause"]) for refused in counted["refused"]] == [(403, "stale_token")], counted
    # The refusal ended the process before it could count it.
    check_agreement({**count, "refused": 1}, counted)


def check_node_corrected():
    """101 again and again."""
    with target("forum", idle_timeout="2s") as address:
        code, count, errors = run_node("corrected", address, 3)
        counted = counters(address)
    assert code == 0 and count["opened"] == 3 and count["closes"] == {"1001": 3} and count["refused"] == 0, (count, errors)
    check_agreement(count, counted)


def check_node_spins_without_the_scope():
    """The corrected snippet spins on its own refusal: one token and one 403 a turn, without delay."""
    with target("forum", idle_timeout="2s", clients=WITHOUT_SCOPE) as address:
        code, count, errors = run_node("corrected", address, 200)
        counted = counters(address)
    assert code == 0 and count["closes"] == {"1006": 200} and count["refused"] == 200, (count, errors)
    assert [refused["cause"] for refused in counted["refused"]] == ["missing_scope"], counted
    assert counted["tokens_issued"] == 200, counted
    check_agreement(count, counted)
    print(f"        200 turns in {count['took_ms']} ms: {200_000 / count['took_ms']:.0f} tokens a second from one client")


def fetch_token(address):
    """A token, as the thread fetches it."""
    form = {"grant_type": "client_credentials", "client_id": "thread", "client_secret": "demo-secret"}
    with urllib.request.urlopen(f"http://{address}/oauth/token", urllib.parse.urlencode(form).encode(), timeout=10) as answer:
        return json.load(answer)["access_token"]


async def run_python(address, turns, refetch):
    """The same recipe with `websockets`; ends after so many closes and refusals."""
    count = {"tokens": 1, "opened": 0, "refused": 0, "closes": {}}
    token = await asyncio.to_thread(fetch_token, address)
    for turn in range(turns):
        if turn > 0 and refetch:
            token = await asyncio.to_thread(fetch_token, address)
            count["tokens"] += 1
        try:
            headers = {"Authorization": f"Bearer {token}"}
            async with connect(f"ws://{address}/api/v2/analytics/events", additional_headers=headers, ping_interval=None) as session:
                count["opened"] += 1
                try:
                    await asyncio.wait_for(session.recv(), 20)
                except ConnectionClosed as closed:
                    code = str(closed.rcvd.code)
                    count["closes"][code] = count["closes"].get(code, 0) + 1
        except InvalidStatus as refusal:
            assert refusal.response.status_code == 403, refusal
            count["refused"] += 1
    return count


def check_python_client():
    """The three behaviours with Python's `websockets`."""
    cases = [
        ({}, 2, False, {"opened": 1, "refused": 1, "closes": {"1001": 1}}),
        ({}, 3, True, {"opened": 3, "refused": 0, "closes": {"1001": 3}}),
        ({"clients": WITHOUT_SCOPE}, 50, True, {"opened": 0, "refused": 50, "closes": {}}),
    ]
    for rules, turns, refetch, expected in cases:
        with target("forum", idle_timeout="2s", **rules) as address:
            count = asyncio.run(run_python(address, turns, refetch))
            counted = counters(address)
        assert {key: count[key] for key in expected} == expected, (count, expected)
        check_agreement(count, counted)


CHECKS = [check_node_first_snippet, check_node_corrected, check_node_spins_without_the_scope, check_python_client]
