"""The embedded target's topics, read by `websockets`: what is lost, repeated and moved is what the manual's rule says, worked out here anew."""

import asyncio
import json
import urllib.parse
import urllib.request

from websockets.asyncio.client import connect

from processes import counters, target

SEED, COUNT, DROP, REPEAT, REORDER = 7, 3, 0.2, 0.25, 0.3
CLIENTS, SECONDS = 3, 3
WORDS = (1 << 64) - 1


def mixed(number):
    """SplitMix64 (Steele et al. 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & WORDS
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & WORDS
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & WORDS
    return number ^ (number >> 31)


def falls(share, topic, number, what):
    """Whether a draw falls on this share."""
    drawn = mixed(mixed(mixed(SEED) ^ topic) ^ mixed(number * 4 + what))
    return (drawn >> 11) / (1 << 53) < share


def place(sequence):
    """Topic and number of a place, whether it is moved, and how often it is sent."""
    topic, turn = sequence % COUNT + 1, sequence // COUNT
    moved = falls(REORDER, topic, turn & ~1, 2)
    number = turn ^ 1 if moved else turn
    times = 0 if falls(DROP, topic, number, 0) else 2 if falls(REPEAT, topic, number, 1) else 1
    return f"t{topic}", number, moved, times


async def listen(address, token, number):
    """What a client hears in some seconds."""
    headers = {"Authorization": f"Bearer {token}", "X-Resurge-Client": str(number)}
    heard = []
    async with connect(f"ws://{address}/api/v2/analytics/events", additional_headers=headers) as session:
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    heard.append(json.loads(await session.recv()))
        except TimeoutError:
            pass
    return heard


def check_topics_of_the_target() -> None:
    """Each client hears, place by place, what the rule says, and the target counts the same."""
    topics = f"{{ count = {COUNT}, drop = {DROP}, repeat = {REPEAT}, reorder = {REORDER}, seed = {SEED} }}"
    rules = {"required_scopes": "[]", "invalidation": "never", "idle_timeout": "never", "messages_every": "20ms"}
    with target("forum", topics=topics, **rules) as address:
        form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"http://{address}/oauth/token", body, timeout=10) as answer:
            token = json.load(answer)["access_token"]

        async def all_of_them():
            return await asyncio.gather(*(listen(address, token, number) for number in range(CLIENTS)))

        heard = asyncio.run(all_of_them())
        counted = counters(address)
    messages = 0
    for of_client in heard:
        first, last = of_client[0]["seq"], of_client[-1]["seq"]
        told = [(message["seq"], message["topic"], message["n"]) for message in of_client]
        # The last may have been heard once of twice.
        told = [row for row in told if row[0] < last]
        rows = [(sequence, *place(sequence)) for sequence in range(first, last)]
        true = [(sequence, topic, number) for sequence, topic, number, _, times in rows for _ in range(times)]
        assert told == true, (told, true)
        messages += len(told)
    did = counted["topics"]
    assert messages > 200 and min(did["dropped"], did["repeated"], did["moved"]) > 20, (messages, did)
    assert counted["messages_sent"] >= messages, (counted, messages)
    print(f"        {messages} heard, each where it should be; the target: {did}")


CHECKS = [check_topics_of_the_target]
