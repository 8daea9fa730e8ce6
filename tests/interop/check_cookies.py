"""Clients that log in with a cookie, at services that we did not write: Express with express-session and `ws`, and Jupyter Server with its `_xsrf`.

Logins, admissions, refusals and closes are what the service itself counted, and no password or cookie stands in the run's files.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from check_foreign import wait_for
from processes import HERE, LONGEST, RESURGE, UNTIMED, end_and_read, free_port, node, started

CLIENTS = 20
PASSWORD = "let me in & stay"

SCENARIO = """
name = "cookies"
seed = 1
duration = "{seconds}s"
{untimed}
[target]
url = "{url}"
[[groups]]
name = "pages"
clients = {clients}
token = {{ grant = "none" }}
{more}
[groups.prepare]
cookies = true
when = "once"
renew_on = [403]
{steps}
[groups.connect]
token_in = "nowhere"
{connect}
[groups.session]
admission = "250ms"
[groups.reconnect]
backoff = {{ kind = "constant", base = "300ms" }}
"""

EXPRESS = """
[[groups.prepare.steps]]
name = "page"
url = "http://{at}/login"
save = {{ csrf = {{ regex = 'name="_csrf" value="([^"]+)"' }}, first = {{ cookie = "connect.sid" }}, code = "status" }}
[[groups.prepare.steps]]
name = "login"
method = "POST"
url = "http://{at}/login"
form = {{ _csrf = "{{csrf}}", user = "user-{{client}}", password = {{ env = "RESURGE_CHECK_PASSWORD" }} }}
redirects = 1
save = {{ session = {{ cookie = "connect.sid" }} }}
"""

JUPYTER = """
[[groups.prepare.steps]]
name = "page"
url = "http://{at}/login"
save = {{ xsrf = {{ cookie = "_xsrf" }} }}
[[groups.prepare.steps]]
name = "login"
method = "POST"
url = "http://{at}/login?next=%2Fapi%2Fstatus"
headers = {{ X-XSRFToken = "{{xsrf}}" }}
form = {{ password = {{ env = "RESURGE_CHECK_PASSWORD" }} }}
redirects = 2
"""


def ran(home, text):
    """Runs a scenario; answers with the outcomes, the closes and the requests of steps."""
    scenario, folder = Path(home) / "cookies.toml", Path(home) / "run"
    scenario.write_text(text)
    command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
    env = {"RESURGE_CHECK_PASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, env=env)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    for file in folder.iterdir():
        held = file.read_bytes()
        assert not [secret for secret in (PASSWORD.encode(), b"connect.sid=", b"s%3A") if secret in held], file
    tables = {}
    for name in ("outcomes", "closes", "steps"):
        with open(folder / f"{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    return tables


def total(rows, **wanted):
    """The sum of the rows that are like this."""
    return sum(int(row["count"]) for row in rows if all(row[key] == value for key, value in wanted.items()))


def check_express():
    """A CSRF token from the page, a form, a redirect, a cookie; back with the same cookie until the session ends, then a new login."""
    with tempfile.TemporaryDirectory() as home, started(node("cookies.js")) as service:
        at = f"127.0.0.1:{service.stdout.readline().strip()}"
        connect = 'origin = "https://app.example.com"'
        more = 'start = { over = "300ms" }'
        text = SCENARIO.format(untimed=UNTIMED, seconds=5, url=f"ws://{at}/", clients=CLIENTS, steps=EXPRESS.format(at=at), connect=connect, more=more)
        tables = ran(home, text)
        counted = end_and_read(service)
    opened, refused = total(tables["outcomes"], outcome="ok"), total(tables["outcomes"], outcome="http_403")
    cut_off = total(tables["outcomes"], outcome="aborted") + total(tables["outcomes"], outcome="ended_early")
    assert counted["bad_logins"] == 0 and counted["logins"] >= 2 * CLIENTS, counted
    assert 0 <= counted["admitted"] - opened <= cut_off and opened > counted["logins"], (counted, tables)
    assert counted["refused"] == {"ended": refused} and refused >= CLIENTS, (counted, refused)
    # What a cookie stands for is not known: nothing is claimed.
    assert {row["cause"] for row in tables["outcomes"] if row["outcome"] == "http_403"} == {"unknown"}, tables["outcomes"]
    steps = total(tables["steps"], answer="ok")
    assert 0 <= counted["logins"] + counted["pages"] - steps <= CLIENTS, (counted, tables["steps"])


def check_jupyter_login():
    """Jupyter Server's login page: `_xsrf` as cookie and header, the password, two cookies; its WebSocket then takes them."""
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        command = [sys.executable, str(HERE / "strangers" / "jupyter_login.py"), str(port), home, PASSWORD]
        with started(command, stderr=subprocess.DEVNULL) as service:
            wait_for(port)
            at = f"127.0.0.1:{port}"
            more = 'disconnects = [{ after = "800ms" }]'
            text = SCENARIO.format(
                untimed=UNTIMED, seconds=3, url=f"ws://{at}/api/events/subscribe", clients=5, steps=JUPYTER.format(at=at), connect=f'origin = "http://{at}"', more=more
            )
            tables = ran(home, text)
            counted = end_and_read(service)
    refused = [row for row in tables["outcomes"] if row["outcome"] not in ("ok", "aborted")]
    assert not refused, refused
    opened = total(tables["outcomes"], outcome="ok")
    assert opened >= 8 and 0 <= counted["opened"] - opened <= 5, (counted, opened)
    assert total(tables["steps"], answer="ok") == 10, tables["steps"]


CHECKS = [check_jupyter_login, check_express]
