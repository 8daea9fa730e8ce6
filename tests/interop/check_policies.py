"""The shipped client policies are what the real libraries do.

Each library connects to `resurge serve`, is thrown off, and then refused: by a status, or by the end of the session right after the 101. The moments of its
attempts are compared with the policy of the same name (jitter by its bounds). After final codes it does not come back, after others it does.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from libraries import SERVICES, Client, Proxy, close_all, fetch_token, policy, running, until
from processes import target

# A library that was to come back and has not in this time does not; a final code is believed after it.
PATIENCE = 22.0
FINAL = 4.0
SETTLED = 5.5
# How much later than it means to a client comes, in seconds, beside what its process was late.
LATE = 0.3
# How much earlier: the proxy hears of an end a little after the library.
EARLY = 0.02

NO_SHORTENED_TIMES = {"idle_timeout": '"never"', "storms": "[]"}


@dataclass(frozen=True)
class Library:
    """How a library is served, and what it is known to do."""

    # The scenario whose target serves it.
    scenario: str
    # How its attempts begin.
    first: str
    # What resets its backoff: the upgrade, or the service's answer to its first message, or a session of a few seconds.
    reset_on: str
    # Codes from which it comes back.
    returns_from: tuple = ()
    # Whether its waits count from the beginning of the attempt before, and not from its end.
    from_beginning: bool = False


LIBRARIES = {
    "phoenix": Library("phoenix", "GET /socket/websocket", "open", returns_from=(1000, 1001, 4401)),
    "socket-io": Library("socket-io", "GET /socket.io/", "open", returns_from=(1000, 4401)),
    "centrifuge": Library("centrifugo", "GET /connection/websocket", "ready", returns_from=(1000, 3499, 4000, 4499)),
    "graphql-ws": Library("graphql-ws", "GET /graphql", "ready", returns_from=(1000, 1001, 4403)),
    "reconnecting-websocket": Library("aws-api-gateway", "GET /api/v2/analytics/events", "after", returns_from=(1000, 4401)),
    "signalr": Library("signalr-negotiate", "POST /hub/negotiate", "ready", returns_from=(1000, 4401)),
    "pusher": Library("pusher", "GET /app/", "open", returns_from=(1000, 4100, 4200, 4299), from_beginning=True),
    "slack": Library("slack-socket-mode", "POST /api/apps.connections.open", "open", returns_from=(1000, 4401)),
}
# What the script of a scenario's target ends in a time that it has shortened, or says at such a time.
SCRIPTS = {
    "aws-api-gateway": "[]",
    "slack-socket-mode": """[{ at = "open", send = '{"type":"hello"}' }]""",
    "signalr-negotiate": '[{ message = \'"protocol":"json"\', send = "{}\\u001e" }, { every = "10s", send = "{\\"type\\":6}\\u001e" }]',
}


def fits(code, ranges):
    """Whether a code is in a list of codes and ranges of them."""
    for one in ranges:
        first, _, last = str(one).partition("-")
        if int(first) <= code <= int(last or first):
            return True
    return False


def seconds(text):
    """A duration of a scenario."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise AssertionError(text)


def bounds(backoff, attempt):
    """The least and the longest wait of a policy before an attempt (0 for the first)."""
    jitter = backoff["jitter"]
    if backoff["kind"] == "steps":
        step = seconds(backoff["steps"][min(attempt, len(backoff["steps"]) - 1)])
        assert jitter == "none"
        return step, step
    base = seconds(backoff["base"])
    if backoff["kind"] == "constant":
        assert jitter == "none"
        return base, base
    assert backoff["kind"] == "exponential", backoff
    longest, factor = seconds(backoff["max"]), backoff["factor"] ** attempt
    wait = min(base * factor, longest)
    if jitter == "above-base":
        return base, min(longest, base + wait)
    if "share_within" in jitter:
        share = jitter["share_within"]
        return min(longest, base * factor * (1 - share)), min(longest, base * factor * (1 + share))
    if "add" in jitter:
        return tuple(wait + seconds(more) for more in jitter["add"])
    return wait, min(seconds(jitter["own_base"]) * factor, longest)


def served(name, faults="[]"):
    """A target for a library."""
    library = LIBRARIES[name]
    rules = {**NO_SHORTENED_TIMES, "faults": faults}
    if library.scenario in SCRIPTS:
        rules["script"] = SCRIPTS[library.scenario]
    if library.scenario == "centrifugo":
        rules |= {"token_life": '"1h"'}
    return target(str(SERVICES / f"{library.scenario}.toml"), seed=7, **rules)


# What the target does wrong that takes the place of the first. It knows the same token.
REFUSALS = {
    "status": '[{ kind = "upgrade_status", status = 503 }]',
    "end": '[{ kind = "close_without_frame", after = "0s" }]',
}


@dataclass
class Case:
    """A library, how it is refused or with which code closed, and who serves it."""

    name: str
    manner: str
    code: int | None
    address: str
    # Who serves it once it is refused; without it the proxy ends each session after the 101: who resets its backoff with the first answer must get none.
    refusing: str | None
    proxy: Proxy
    client: Client

    def waits_since(self, moment):
        """The waits before its attempts."""
        return self.proxy.waits_since(moment, LIBRARIES[self.name].first)

    def refuse(self):
        """From now on it is refused."""
        if self.refusing:
            self.proxy.to = self.refusing
        else:
            self.proxy.cuts = True


def begin(stack, name, manner, code):
    """Starts what a case needs, but for its client."""
    address, refusing = stack.enter_context(served(name)), None
    token = fetch_token(address)
    if manner == "status" or manner == "end" and LIBRARIES[name].reset_on != "ready":
        refusing = stack.enter_context(served(name, REFUSALS[manner]))
        assert fetch_token(refusing) == token, name
    proxy = Proxy(address)
    stack.callback(proxy.close)
    return Case(name, manner, code, address, refusing, proxy, Client(f"{name}-{manner}-{code}", name, proxy.address, token))


def expected_waits(name, manner):
    """The bounds of the waits to be seen, and whether the library gives up after them."""
    library, rules = LIBRARIES[name], policy(name)
    told = rules.get("reset_on", "admitted")
    # Slack's wait is the same whatever is counted.
    if rules["backoff"]["kind"] != "constant":
        assert (told if isinstance(told, str) else next(iter(told))) == library.reset_on, (name, told)
    if manner == "status" and rules.get("failure_is_final"):
        return [bounds(rules["backoff"], 0)], True
    resets = manner == "end" and library.reset_on == "open"
    most = min(rules.get("max_attempts", 9), 9)
    waits, total = [], 0.0
    for attempt in range(most):
        low, high = bounds(rules["backoff"], 0 if resets else attempt)
        total += high
        if total + LATE > PATIENCE - 2:
            return waits, False
        waits.append((low, high))
    return waits, most == rules.get("max_attempts")


def lateness(client):
    """How late and how early a client may be, for what this machine was late."""
    worst = 2 * max((float(late) / 1000 for late in client.said("late")), default=0.0)
    return LATE + worst, EARLY + worst


def judge(case, waits, expected, gives_up):
    """Compares the waits before the attempts with what the policy says; answers with a line."""
    name, manner = case.name, case.manner
    late, early = lateness(case.client)
    early = late if LIBRARIES[name].from_beginning else early
    shown = " ".join(f"{wait:.3f}" for wait in waits)
    assert len(waits) >= len(expected), f"{name}, {manner}: {shown}, and no more; expected {expected}"
    for wait, (low, high) in zip(waits, expected, strict=False):
        assert low - early <= wait <= high + late, f"{name}, {manner}: {shown}; expected {expected}"
    assert not gives_up or len(waits) == len(expected), f"{name}, {manner}: {shown}; expected to give up after {expected}"
    if "own_base" in str(policy(name)["backoff"]["jitter"]):
        factor, longest = policy(name)["backoff"]["factor"], seconds(policy(name)["backoff"]["max"])
        for before, after in zip(waits, waits[1:], strict=False):
            assert abs(after - min(before * factor, longest)) <= late, f"{name}, {manner}: {shown}"
    return f"        {name}, refused by {manner}: {shown}"


def check_policies():
    """Waits, what resets them, and final codes."""
    cases = [(name, manner, None) for name in LIBRARIES for manner in ("status", "end")]
    cases += [(name, "code", code) for name, library in LIBRARIES.items() for code in library.returns_from]
    for name in LIBRARIES:
        for codes in policy(name).get("terminal_codes", []):
            ends = {int(code) for code in str(codes).split("-")}
            # Those below 3000 are no codes that a service may choose, but for a few.
            cases += [(name, "final", code) for code in sorted(ends) if code >= 3000]
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(4) as pool:
            begun = list(pool.map(lambda case: begin(stack, *case), cases))
        stack.enter_context(running([case.client for case in begun]))
        for case in begun:
            assert until(lambda: case.client.said("ready"), 30), (case.client.id, case.client.events)
        for case in begun:
            # To load the libraries took its time, and no more is late for it.
            assert not case.client.said("complaint"), (case.client.id, case.client.events)
            case.client.events.clear()
        with ThreadPoolExecutor(len(begun)) as pool:
            verdicts = list(pool.map(watch, begun))
    faults = [str(verdict) for verdict in verdicts if isinstance(verdict, Exception)]
    assert not faults, "\n".join(["", *faults])
    print("\n".join(verdict for verdict in verdicts if verdict))
    print(f"        a client may come {lateness(begun[0].client)[0]:.2f} s late on this machine")


def watch(case):
    """Throws a client off, and looks at how it comes back; answers with a line, or the fault."""
    try:
        return watch_refusals(case) if case.manner in ("status", "end") else watch_code(case)
    except Exception as error:  # noqa: BLE001 - told with the others
        return error


def watch_refusals(case):
    """Closes a client's session and refuses it from then on."""
    expected, gives_up = expected_waits(case.name, case.manner)
    # Longer than any library wants a session to last before it forgets its failures.
    time.sleep(SETTLED)
    moment = time.monotonic()
    case.refuse()
    close_all(case.address, 1012)
    until(lambda: len(case.waits_since(moment)) >= len(expected), PATIENCE)
    if gives_up:
        time.sleep(FINAL)
    assert not case.client.said("complaint"), (case.client.id, case.client.events)
    if policy(case.name)["backoff"]["jitter"] == "above-base" and LIBRARIES[case.name].reset_on != "open":
        # A short wait is as likely as a long one: one whose wait does not grow would come ten times in that time.
        time.sleep(max(0.0, moment + 12.0 - time.monotonic()))
        assert len(case.waits_since(moment)) < 10, f"{case.name}, {case.manner}: {case.waits_since(moment)}"
    return judge(case, case.waits_since(moment), expected, gives_up)


def watch_code(case):
    """Closes a client's session with a code."""
    rules = policy(case.name)
    low, high = (0.0, 0.0) if fits(case.code, rules.get("at_once_codes", [])) else bounds(rules["backoff"], 0)
    moment = time.monotonic()
    close_all(case.address, case.code)
    comes = case.manner == "code"
    came = until(lambda: case.waits_since(moment), high + (1.0 if comes else FINAL))
    assert came == comes, f"{case.name}: after {case.code} it {'comes' if came else 'does not come'} back"
    if came:
        [wait, *_] = case.waits_since(moment)
        late, early = lateness(case.client)
        assert low - early <= wait <= high + late, f"{case.name}: comes back from {case.code} after {wait:.3f} s, not {low} to {high}"


CHECKS = [check_policies]
