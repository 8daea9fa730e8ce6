"""What others make of the target's keys, of proofs (DPoP, RFC 9449), and of clients' certificates (RFC 8705).

PyJWT and jose (Node) find the target's keys where it publishes them; oidc-provider binds tokens to keys and certificates, and a service behind it judges each
handshake by jose; LiveKit's server SDK verifies the tokens of its participants.
"""

import datetime
import json
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from check_tokens import PEM, PKCS8, PLAIN, Service, made, no_secrets, rows, run
from processes import LONGEST, UNTIMED, end_and_read, node, started, target

CLIENTS = 5
SECRET = "a-secret-that-is-long-enough-for-it"


def token_of(address, client):
    """A token of the target's, by client credentials."""
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": "s"}
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"http://{address}/oauth/token", body, timeout=10) as answer:
        return json.load(answer)["access_token"]


def judged(script, arguments, tokens):
    """What a Node script says of tokens, a line each."""
    told = subprocess.run(node(script, *arguments), input="\n".join(tokens), capture_output=True, text=True, timeout=LONGEST)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def check_keys():
    """PyJWKClient and jose's remote JWK Set find the target's keys and verify its tokens: issuer, audience, kid."""
    with tempfile.TemporaryDirectory() as home:
        key = Path(home) / "rsa.key"
        key.write_text(made(rsa.generate_private_key(65537, 2048), PKCS8)[0])
        for algorithm in ["ES256", "EdDSA", "RS256"]:
            own = f', key = {{ file = "{key}" }}' if algorithm[0] in "RP" else ""
            signing = f'{{ algorithm = "{algorithm}", key_id = "k-{algorithm}", audience = "events"{own} }}'
            with target("bearer", token_format="jwt", token_signing=signing) as address:
                tokens = [token_of(address, f"c{n}") for n in range(CLIENTS)]
                with urllib.request.urlopen(f"http://{address}/.well-known/openid-configuration", timeout=10) as answer:
                    told = json.load(answer)
                assert told["token_endpoint"] == f"http://{address}/oauth/token", told
                found = jwt.PyJWKClient(told["jwks_uri"]).get_signing_key_from_jwt(tokens[0])
                assert found.key_id == f"k-{algorithm}"
                for token in tokens:
                    claims = jwt.decode(token, found, algorithms=[algorithm], audience="events", issuer=told["issuer"])
                    assert claims["exp"] > claims["iat"]
                seen = judged("bound.js", ["remote", f"http://{address}"], tokens)
                assert seen == [{"alg": algorithm, "client": f"c{n}"} for n in range(CLIENTS)], seen


def scenario(service, scheme, groups, head=""):
    """The text of a scenario against an authorisation server and the service behind it."""
    at = f"127.0.0.1:{service.stdout.readline().strip()}"
    ws = "wss" if scheme == "https" else "ws"
    text = f'name = "bound"\nduration = "2s"\n{UNTIMED}\n[target]\nkind = "remote"\nurl = "{ws}://{at}/events?x=1"\ntoken_url = "{scheme}://{at}/token"\n{head}'
    for name, token, rest in groups:
        text += f'\n[[groups]]\nname = "{name}"\nclients = {CLIENTS}\n[groups.token]\n{token}\n{rest}\n'
    return text


def check_dpop():
    """oidc-provider binds tokens to each client's key, and jose judges the proof of each handshake; nonces are asked for once, and told."""
    again = '[[groups.disconnects]]\nafter = "700ms"\n[groups.reconnect]\nmax_attempts = 1\nbackoff = { kind = "none" }\n'
    token = f'client_id = "app"\nclient_secret = "{SECRET}"\nscopes = ["read"]\ndpop = true\non_reconnect = "fetch"'
    for nonce in ["without", "nonce"]:
        with tempfile.TemporaryDirectory() as home, started(node("bound.js", "dpop", nonce), stderr=subprocess.DEVNULL) as service:
            folder = run(home, scenario(service, "http", [("bound", token, again)]))
            counted = end_and_read(service)
            no_secrets(folder, [SECRET])
            with (folder / "run.json").open() as file:
                told = json.load(file)["accounting"]["all"]["counters"]
            answers = {(row["answer"], row["error"]): int(row["count"]) for row in rows(folder, "tokens.csv") if row["group"] == "bound"}
        admitted = counted["admitted"]
        assert len(admitted) == CLIENTS, "each client has a key of its own"
        assert sum(admitted.values()) == told["upgrades"] >= 2 * CLIENTS, (counted, told)
        assert counted["tokens"] == {"app": told["tokens_fetched"]}, (counted, told)
        first = CLIENTS if nonce == "nonce" else 0
        expected = {"use_dpop_nonce": first} if first else {}
        assert counted["refused_tokens"] == expected and counted["refused"] == expected, counted
        assert told.get("nonce_retries", 0) == first, told
        assert answers.get(("refused", "use_dpop_nonce"), 0) == first, answers


def certificates(home):
    """An authority, a server and two clients: one by the authority, one by itself."""

    def make(name, names, issuer=None, is_authority=False):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by, signer = issuer or (subject, key)
        now = datetime.datetime.now(datetime.timezone.utc)
        building = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(key.public_key())
        building = building.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        building = building.add_extension(x509.BasicConstraints(is_authority, None), True).add_extension(x509.SubjectAlternativeName(names), False)
        if not is_authority:
            building = building.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
        certificate = building.sign(signer, hashes.SHA256())
        (home / f"{name}.pem").write_bytes(certificate.public_bytes(PEM))
        (home / f"{name}.key").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
        return subject, key

    import ipaddress

    authority = make("ca", [x509.DNSName("ca.example")], None, True)
    make("server", [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], authority)
    make("client", [x509.DNSName("client.example")], authority)
    make("own", [x509.DNSName("own.example")])


def check_certificates():
    """oidc-provider knows clients by their certificates and binds tokens to them; the service behind it compares them at each handshake."""
    with tempfile.TemporaryDirectory() as home:
        certificates(Path(home))
        shown = {name: f'certificate = {{ chain = {{ file = "{name}.pem" }}, key = {{ file = "{name}.key" }} }}' for name in ["client", "own"]}
        once = "[groups.reconnect]\nmax_attempts = 1\n"

        def group(name, client, at_token, at_session):
            token = f'client_id = "{client}"\nauth = "tls_client_auth"\nscopes = ["read"]\n{shown[at_token]}'
            return name, token, f"[groups.connect]\n{shown[at_session]}\n{once}"

        groups = [
            group("authority", "by-authority", "client", "client"),
            group("itself", "by-itself", "own", "own"),
            group("moved", "by-authority", "client", "own"),
            group("stranger", "by-authority", "own", "own"),
        ]
        with started(node("bound.js", "mtls", home), stderr=subprocess.DEVNULL) as service:
            # Not valid: the clients of two groups never get in.
            folder = run(home, scenario(service, "https", groups, 'ca_file = "ca.pem"\n'), 110)
            counted = end_and_read(service)
        no_secrets(folder, [(Path(home) / f"{name}.key").read_text().splitlines()[1] for name in shown])
        outcomes = {(row["group"], row["outcome"]): int(row["count"]) for row in rows(folder, "outcomes.csv") if row["group"] != "all"}
    assert counted["tokens"] == {"by-authority": 2 * CLIENTS, "by-itself": CLIENTS}, counted
    assert counted["admitted"] == {"by-authority": CLIENTS, "by-itself": CLIENTS}, counted
    assert counted["refused"] == {"x5t#S256": CLIENTS} and counted["refused_tokens"] == {"invalid_client": CLIENTS}, counted
    expected = {("authority", "ok"), ("itself", "ok"), ("moved", "http_401"), ("stranger", "token_refused")}
    assert outcomes == {key: CLIENTS for key in expected}, outcomes


def check_livekit():
    """LiveKit's server SDK verifies the tokens that participants show in the query."""
    seen = []

    def look(_, request):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        seen.extend(query["access_token"])

    service = Service(look)
    service.start()
    assert service.ready.wait(10)
    claims = '{"iss":"devkey","sub":"user-{client}","nbf":{now},"video":{"room":"demo","roomJoin":true}}'
    with tempfile.TemporaryDirectory() as home:
        text = f"""
name = "livekit"
duration = "2s"
{UNTIMED}
[target]
kind = "remote"
url = "ws://127.0.0.1:{service.port}/rtc?protocol=15"
[[groups]]
name = "participants"
clients = {CLIENTS}
[groups.token]
grant = "jwt"
algorithm = "HS256"
key = "{SECRET}"
claims = '{claims}'
[groups.connect]
token_in = {{ query = "access_token" }}
"""
        folder = run(home, text)
        service.end()
        no_secrets(folder, [SECRET, *seen])
    verified = judged("bound.js", ["livekit", "devkey", SECRET], seen)
    assert {each["sub"] for each in verified} == {f"user-{n}" for n in range(CLIENTS)}, verified
    assert all(each["video"] == {"room": "demo", "roomJoin": True} for each in verified), verified


CHECKS = [check_keys, check_dpop, check_certificates, check_livekit]
