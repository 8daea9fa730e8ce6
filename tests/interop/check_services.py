"""The targets of the shipped service scenarios serve the real client libraries, which find nothing to complain of.

`INTEROP_SECONDS` says for how long; each session ends only as its scenario orders. There is no official library with a socket for Genesys Cloud's channels
and Twitch's EventSub, so these are not here.
"""

import contextlib
import os
import time
from dataclasses import dataclass

from libraries import SERVICES, Client, fetch_token, running, until
from processes import closes_of, counters, refused_of, target

SECONDS = float(os.environ.get("INTEROP_SECONDS", "20"))


@dataclass(frozen=True)
class Service:
    """A scenario's target, the library that it serves, and how the scenario ends sessions."""

    library: str
    # How often the library gives a sign, in milliseconds, where the scenario has shortened the service's times.
    beat: int | None = None
    # The close codes that the scenario orders.
    closes: tuple = ()
    # How long a session lasts by the scenario, with the way back; without it all the time.
    lasts: float | None = None
    rules: tuple = ()


SERVED = {
    "phoenix": Service("phoenix", beat=1000),
    "socket-io": Service("socket-io"),
    "graphql-ws": Service("graphql-ws", beat=1000, closes=("1012",)),
    "centrifugo": Service("centrifuge"),
    "signalr-negotiate": Service("signalr", beat=1000, closes=("1012",), lasts=3.5),
    "pusher": Service("pusher", beat=1000, closes=("4200",)),
    "slack-socket-mode": Service("slack", closes=("1000",), lasts=8.5),
    "discord": Service("discord", closes=("4200",), lasts=6.0),
    "aws-api-gateway": Service("ws", beat=400, closes=("1001",)),
}


def check_services():
    """No complaint, no refusal, no close that the scenario does not order, and sessions for the whole time."""
    with contextlib.ExitStack() as stack:
        clients = {}
        for scenario, service in SERVED.items():
            address = stack.enter_context(target(str(SERVICES / f"{scenario}.toml")))
            clients[scenario] = Client(scenario, service.library, address, fetch_token(address), service.beat)
        with running(list(clients.values())):
            for scenario, client in clients.items():
                assert until(lambda: client.said("ready"), 20), (scenario, client.events)
            time.sleep(SECONDS)
            counted = {scenario: counters(client.address) for scenario, client in clients.items()}
    for scenario, client in clients.items():
        judge(scenario, client, counted[scenario])


def judge(scenario, client, counted):
    """Compares what the library said and the target counted with what the scenario orders."""
    service = SERVED[scenario]
    # Some libraries call a close an error: the ordered ones are none.
    refusals = [said for said in client.said("refused") if not any(code in said for code in service.closes)]
    assert not client.said("complaint") and not refusals, (scenario, client.events)
    assert refused_of(counted) == 0, (scenario, counted["refused"])
    closes = closes_of(counted)
    assert set(closes) <= set(service.closes), (scenario, closes, client.events)
    sessions = int(SECONDS / service.lasts) if service.lasts else 1
    assert len(client.said("ready")) >= sessions, (scenario, client.events)
    print(f"        {scenario}: {client.library} had {len(client.said('ready'))} sessions in {SECONDS:.0f} s; closes {closes or 'none'}")


CHECKS = [check_services]
