"""What others make of the tokens that clients ask for, and of those that they sign by themselves.

PyJWT judges every token that a handshake brings, jose (Node) judges them again; oidc-provider issues tokens for a resource (RFC 8707) to clients that
show who they are by a secret, by a JWT of their secret, and by JWTs of their keys (RFC 7523).
"""

import asyncio
import csv
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import jwt
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from websockets.asyncio.server import serve

from processes import LONGEST, RESURGE, UNTIMED, end_and_read, node, started

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
PKCS8 = serialization.PrivateFormat.PKCS8
# PKCS#1 of RSA keys, SEC1 of EC keys.
OLD = serialization.PrivateFormat.TraditionalOpenSSL
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
SECRET = "a-secret-that-is-long-enough-for-the-longest-hash-of-them-all-64"
CLIENTS = 3
RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def made(key, form):
    """A key pair as PEM."""
    public = key.public_key().public_bytes(PEM, PUBLIC)
    return key.private_bytes(PEM, form, PLAIN).decode(), public.decode()


def key_pairs():
    """For each algorithm, what signs and what verifies; both forms of PEM occur."""
    keys = {name: (SECRET, SECRET) for name in ["HS256", "HS384", "HS512"]}
    big = rsa.generate_private_key(65537, 2048)
    keys |= {name: made(big, PKCS8 if at % 2 else OLD) for at, name in enumerate(RSA)}
    keys["ES256"] = made(ec.generate_private_key(ec.SECP256R1()), OLD)
    keys["ES384"] = made(ec.generate_private_key(ec.SECP384R1()), PKCS8)
    keys["EdDSA"] = made(ed25519.Ed25519PrivateKey.generate(), PKCS8)
    return keys


def judge(keys, seen, refused):
    """What a handshake meets: PyJWT's judgement of its token."""

    def look(_, request):
        algorithm, token = request.path.strip("/"), request.headers["Authorization"].removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, keys[algorithm][1], algorithms=[algorithm], audience="events")
        except jwt.PyJWTError as error:
            refused.append((algorithm, repr(error)))
            return websockets.http11.Response(401, "Unauthorized", websockets.datastructures.Headers({"Content-Length": "0"}))
        seen.append((algorithm, token, claims, jwt.get_unverified_header(token)))
        return None

    return look


class Service(threading.Thread):
    """A WebSocket service that asks PyJWT."""

    def __init__(self, look, session=lambda session: session.wait_closed()):
        super().__init__(daemon=True)
        self.session = session
        self.look, self.port, self.ready = look, None, threading.Event()
        self.loop = asyncio.new_event_loop()

    def run(self):
        self.loop.run_until_complete(self.serve())

    async def serve(self):
        self.stop = self.loop.create_future()
        async with serve(self.session, "127.0.0.1", 0, process_request=self.look) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.stop

    def end(self):
        self.loop.call_soon_threadsafe(self.stop.set_result, None)
        self.join(10)


def run(home, text, code=0):
    """Runs a scenario; answers with its folder."""
    scenario, folder = Path(home) / "tokens.toml", Path(home) / "run"
    scenario.write_text(text)
    command = [RESURGE, "run", str(scenario), "--progress", "none", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == code, done.stdout + done.stderr
    return folder


def rows(folder, name):
    """A file of the run, as dictionaries."""
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def no_secrets(folder, texts):
    """None of these stands in a file of the run."""
    for path in folder.iterdir():
        content = path.read_bytes()
        for text in texts:
            assert text.encode() not in content, path


def check_minted():
    """PyJWT and jose verify the tokens of every algorithm: their claims are those of the scenario, and each client's are its own."""
    keys, seen, refused = key_pairs(), [], []
    with tempfile.TemporaryDirectory() as home:
        service, groups = Service(judge(keys, seen, refused)), []
        service.start()
        assert service.ready.wait(10)
        for name, (private, _) in keys.items():
            (Path(home) / f"{name}.key").write_text(private)
            groups.append(f"""
[[groups]]
name = "{name}"
clients = {CLIENTS}
[groups.token]
grant = "jwt"
algorithm = "{name}"
key = {{ file = "{name}.key" }}
key_id = "key-{name}"
header = '{{"tenant":"eu"}}'
claims = '{{"sub":"user-{{client}}","aud":"events","nbf":{{now}},"roles":["a"]}}'
life = "90s"
[groups.connect]
url = "ws://127.0.0.1:{service.port}/{name}"
""")
        head = f'name = "minted"\nduration = "2s"\n{UNTIMED}\n[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{service.port}/"\n'
        folder = run(home, head + "".join(groups))
        service.end()
        assert not refused, refused
        minted = {row["group"]: int(row["count"]) for row in rows(folder, "tokens.csv") if row["group"] != "all"}
        assert minted == {name: CLIENTS for name in keys}, minted
        no_secrets(folder, [SECRET, "PRIVATE KEY", *(token for _, token, _, _ in seen)])
    assert len(seen) == CLIENTS * len(keys), len(seen)
    for name, _, claims, header in seen:
        assert header == {"alg": name, "typ": "JWT", "kid": f"key-{name}", "tenant": "eu"}, header
        assert claims["exp"] - claims["iat"] == 90 and claims["roles"] == ["a"], claims
    assert len({claims["sub"] for _, _, claims, _ in seen}) == len(seen), "each client's are its own"
    assert len({claims["jti"] for _, _, claims, _ in seen}) == len(seen)
    lines = [json.dumps({"algorithm": name, "key": keys[name][1], "token": token}) for name, token, _, _ in seen]
    told = subprocess.run(node("tokens.js", "verify"), input="\n".join(lines), capture_output=True, text=True, timeout=LONGEST)
    verified = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(verified) == len(seen), told.stderr
    assert {(each["sub"], each["kid"]) for each in verified} == {(c["sub"], h["kid"]) for _, _, c, h in seen}
    print(f"        {len(seen)} tokens of {len(keys)} algorithms")


RESOURCE = "https://events.example.com"
OF_KEYS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]


def check_authorisation_server():
    """oidc-provider takes JSON Web Tokens of clients' keys and secrets, and gives tokens for the resource that is asked for; what it counts is what we count."""
    keys = key_pairs()
    public = {name: keys[name][1] for name in OF_KEYS}
    common = f'scopes = ["read"]\nparams = {{ resource = "{RESOURCE}" }}\n'
    secret = "a-secret-that-is-long-enough-for-a-signature"
    groups = {
        "resource": f'client_secret = "{secret}"\n{common}',
        "elsewhere": f'client_secret = "{secret}"\nparams = {{ resource = "https://other.example.com" }}\n',
        "secret-jwt": f'client_secret = "{secret}"\nauth = "client_secret_jwt"\n{common}',
    }
    for name in OF_KEYS:
        assertion = f'{{ algorithm = "{name}", key = {{ file = "{name}.key" }}, audience = "{{issuer}}" }}'
        groups[f"key-{name}"] = f'auth = "private_key_jwt"\nclient_assertion = {assertion}\n{common}'
    with tempfile.TemporaryDirectory() as home:
        for name in OF_KEYS:
            (Path(home) / f"{name}.key").write_text(keys[name][0])
        with started(node("tokens.js", "oidc-provider", json.dumps(public)), stderr=subprocess.DEVNULL) as service:
            at = f"127.0.0.1:{service.stdout.readline().strip()}"
            text = f'name = "grants"\nduration = "3s"\n{UNTIMED}\n[target]\nkind = "remote"\nurl = "ws://{at}/"\ntoken_url = "http://{at}/token"\n'
            for name, token in groups.items():
                token = token.replace("{issuer}", f"http://{at}")
                text += f'\n[[groups]]\nname = "{name}"\nclients = {CLIENTS}\n[groups.token]\nclient_id = "{name}"\n{token}'
                text += "[groups.reconnect]\nmax_attempts = 1\n"
            # Not valid: the clients of one group never get in.
            folder = run(home, text, 110)
            counted = end_and_read(service)
        no_secrets(folder, [secret, "PRIVATE KEY"])
        good = {name for name in groups if name != "elsewhere"}
        answers = {(row["group"], row["answer"], row["error"]): int(row["count"]) for row in rows(folder, "tokens.csv")}
    assert counted["tokens"] == {name: CLIENTS for name in good}, counted
    assert counted["admitted"] == {f"{name} read": CLIENTS for name in good}, counted
    assert counted["refused_tokens"] == {"elsewhere invalid_target": CLIENTS}, counted
    expected = {(name, "ok", ""): CLIENTS for name in good} | {("elsewhere", "refused", "invalid_target"): CLIENTS}
    assert {key: count for key, count in answers.items() if key[0] != "all"} == expected, answers
    print(f"        {len(good)} ways to show who asks, {sum(counted['tokens'].values())} tokens")


BUSY = """
name = "busy"
duration = "2s"
[health]
max_lag_p99 = "10s"
max_stall = "{stall}"
max_delay = "10s"
max_delay_share = 1.0
max_saturated_share = 1.0
[target]
kind = "embedded"
idle_timeout = "never"
required_scopes = []
trusted = {{ algorithm = "RS256", key = {{ file = "public.pem" }} }}
[[groups]]
name = "users"
clients = {clients}
start = {{ over = "{over}" }}
[groups.token]
grant = "jwt"
algorithm = "RS256"
key = {{ file = "private.pem" }}
claims = '{{"sub":"user-{{client}}"}}'
"""


def check_busy_minting():
    """A generator that cannot sign as fast as its clients come back says so, and its run is not valid; one that can is valid."""
    with tempfile.TemporaryDirectory() as home:
        private, public = made(rsa.generate_private_key(65537, 4096), PKCS8)
        (Path(home) / "private.pem").write_text(private)
        (Path(home) / "public.pem").write_text(public)
        scenario = Path(home) / "busy.toml"
        told = {}
        # A signature takes some milliseconds: so many at one moment that each processor has more than half a second of work.
        for name, clients, over, stall in [("busy", 60 * os.cpu_count(), "0s", "300ms"), ("idle", 10, "1s", "1s")]:
            scenario.write_text(BUSY.format(clients=clients, over=over, stall=stall))
            command = [RESURGE, "run", str(scenario), "--progress", "none", "--out", str(Path(home) / name)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
            told[name] = (done, json.loads((Path(home) / name / "run.json").read_text()))
            no_secrets(Path(home) / name, ["PRIVATE KEY"])
    (done, manifest), (idle, unhurried) = told["busy"], told["idle"]
    assert done.returncode == 110 and "NOT VALID" in done.stdout, done.stdout
    assert "the generator was busy signing tokens" in done.stdout, done.stdout
    health = manifest["generator"]
    assert health["mint_waits"] > 50 and health["mint_wait_max_us"] > 300_000, health
    assert idle.returncode == 0 and "busy signing" not in idle.stdout, idle.stdout
    assert unhurried["generator"]["mint_wait_max_us"] < 1_000_000, unhurried["generator"]
    print(f"        {health['mint_waits']} waited up to {health['mint_wait_max_us'] / 1e6:.1f} s to be signed, which was told")


CHECKS = [check_minted, check_authorisation_server, check_busy_minting]
