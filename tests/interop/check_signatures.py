"""Signed handshakes: botocore signs for the embedded target, and judges what resurge signs; Python's hmac judges the signatures of exchanges."""

import asyncio
import base64
import collections
import datetime
import hashlib
import hmac
import json
import tempfile
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import websockets
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.asyncio.client import connect

from check_tokens import Service, no_secrets, rows, run
from processes import UNTIMED, counters, refused_of, target

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "s3cret/of+interop", "t0ken/of+interop=="
SERVICE, REGION = "execute-api", "eu-central-1"
CLIENTS = 5


def at(stamp):
    """A moment as signatures have it."""
    return datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)


def presigned(url, credentials, expires, moment, service=SERVICE):
    """The URL as botocore signs it at that moment."""
    request = AWSRequest("GET", url)
    with mock.patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4QueryAuth(credentials, service, REGION, expires).add_auth(request)
    return request.url


def in_headers(url, credentials, moment):
    """The headers as botocore signs them at that moment."""
    request = AWSRequest("GET", url)
    with mock.patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(credentials, SERVICE, REGION).add_auth(request)
    return dict(request.headers)


class Judge:
    """What a service says of a handshake: it lets botocore sign the same request, and compares."""

    def __init__(self):
        self.said = collections.Counter()
        self.urls = []
        self.seen = collections.defaultdict(list)

    def __call__(self, connection, request):
        group = urlsplit(request.path).path.split("/")[1]
        word = self.judge(group, request)
        self.said[group, word] += 1
        self.urls.append(request.path)
        if word == "good":
            return None
        # As API Gateway says it.
        response = connection.respond(403, f'{{"message":"{word}"}}')
        response.headers["Content-Type"] = "application/json"
        return response

    def judge(self, group, request):
        shown, headers = f"https://{request.headers['Host']}{request.path}", request.headers
        query = dict(parse_qsl(urlsplit(shown).query))
        # The session token of IoT Core stands beside the signature.
        beside = group == "beside"
        credentials = Credentials(KEY, SECRET, None if beside or group == "plain" else TOKEN)
        if group == "headers":
            ours = in_headers(shown, credentials, at(headers["X-Amz-Date"]))
            same = all(headers[name] == ours[name] for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"))
            self.seen[group].append(headers["Authorization"])
            return "good" if same else "The request signature we calculated does not match"
        if "X-Amz-Signature" not in query:
            return "Missing Authentication Token"
        moment = at(query["X-Amz-Date"])
        bare = shown.split("&X-Amz-Algorithm")[0].split("?X-Amz-Algorithm")[0]
        service = "iotdevicegateway" if beside else SERVICE
        ours = presigned(bare, credentials, int(query["X-Amz-Expires"]), moment, service)
        if beside:
            ours += "&X-Amz-Security-Token=" + TOKEN.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")
        self.seen[group].append(query["X-Amz-Signature"])
        if shown != ours:
            return "The request signature we calculated does not match"
        age = datetime.datetime.now(datetime.timezone.utc) - moment
        return "Signature expired" if age.total_seconds() > int(query["X-Amz-Expires"]) else "good"


def group(name, port, sign, path=None):
    """A group that signs."""
    return f"""
[[groups]]
name = "{name}"
clients = {CLIENTS}
token = {{ grant = "none" }}
disconnects = [{{ after = "2500ms", how = "close" }}]
[groups.reconnect]
backoff = {{ kind = "constant", base = "100ms" }}
max_attempts = 2
[groups.connect]
url = "ws://127.0.0.1:{port}{path or f'/{name}'}"
[groups.connect.sign]
kind = "aws-sigv4"
region = "{REGION}"
access_key_id = "{KEY}"
secret_access_key = "{SECRET}"
{sign}"""


def check_botocore_judges():
    """A service that asks botocore takes our URLs, letter by letter, and our headers; it refuses a URL that is shown again when its time is over."""
    judge = Judge()
    with tempfile.TemporaryDirectory() as home:
        service = Service(judge)
        service.start()
        assert service.ready.wait(10)
        token = f'service = "{SERVICE}"\nsession_token = "{TOKEN}"\n'
        text = f'name = "signed"\nduration = "4s"\n{UNTIMED}\n[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{service.port}/"\n'
        text += group("plain", service.port, f'service = "{SERVICE}"\n', "/plain/a%20b?x=1&y=c%2Fd+e&%C3%A4=")
        text += group("token", service.port, token)
        text += group("headers", service.port, token + 'signature_in = "header"\n', "/headers/a%20b?y=2&x=%C3%A4")
        text += group("beside", service.port, f'service = "iotdevicegateway"\nsession_token = "{TOKEN}"\n', "/beside/mqtt")
        text += group("reuse", service.port, token + 'expires = "2s"\non_reconnect = "reuse"\n')
        text += group("wrong", service.port, token).replace(f'"{SECRET}"', '"another-secret"')
        folder = run(home, text, 110)
        service.end()
        no_secrets(folder, [SECRET, TOKEN, "another-secret", "X-Amz-Signature", *(url for url in judge.urls if "Amz" in url)])
        outcomes = rows(folder, "outcomes.csv")
    refused = {(row["group"], row["cause"], row["said"]) for row in outcomes if row["outcome"] == "http_403" and row["group"] != "all"}
    assert refused == {
        ("reuse", "expired_token", "403 Signature expired"),
        ("wrong", "unknown_token", "403 The request signature we calculated does not match"),
    }, refused
    for name in ("plain", "token", "headers", "beside"):
        assert [word for group, word in judge.said if group == name] == ["good"], judge.said
        assert judge.said[name, "good"] >= 2 * CLIENTS, judge.said
    assert judge.said["reuse", "good"] == CLIENTS and judge.said["reuse", "Signature expired"] == 2 * CLIENTS, judge.said
    assert len(set(judge.seen["token"])) > 1 and len(set(judge.seen["reuse"])) == 1, "signed anew, and not"
    print(f"        {sum(judge.said.values())} handshakes: {dict(judge.said)}")


def check_botocore_signs():
    """The embedded target takes what botocore signs, in the URL and in headers, and nothing that was touched or is too old."""
    keys = f'[{{ access_key_id = "{KEY}", secret_access_key = "{SECRET}", session_token = "{TOKEN}" }}]'
    rules = f'{{ service = "{SERVICE}", region = "{REGION}", keys = {keys} }}'
    credentials, now = Credentials(KEY, SECRET, TOKEN), datetime.datetime.now(datetime.timezone.utc)
    old = now - datetime.timedelta(minutes=10)

    async def status(address, url, headers=None):
        try:
            async with connect(f"ws://{address}{url}", additional_headers=headers or {}):
                return 101
        except websockets.exceptions.InvalidStatus as error:
            return error.response.status_code, error.response.body.decode()

    def told(address, url, headers=None):
        return asyncio.run(status(address, url, headers))

    with target("forum", path='"/prod/*"', signatures=rules) as address:
        base = f"http://{address}/prod/a%20b?x=1&y=%C3%A4%2F"

        def query(*arguments):
            return presigned(base, *arguments).removeprefix(f"http://{address}")

        def headers(moment):
            signed = in_headers(base, credentials, moment)
            return {name: value for name, value in signed.items() if name != "host"}

        path = base.removeprefix(f"http://{address}")
        assert told(address, query(credentials, 60, now)) == 101
        assert told(address, path, headers(now)) == 101
        refused = [
            (path, None, "signature.missing"),
            (query(credentials, 60, now).replace("x=1", "x=2"), None, "signature.mismatch"),
            (query(credentials, 60, now).replace("Expires=60", "Expires=6000"), None, "signature.mismatch"),
            (query(Credentials(KEY, "another", TOKEN), 60, now), None, "signature.mismatch"),
            (query(Credentials(KEY, SECRET), 60, now), None, "signature.key"),
            (query(Credentials("AKIDOTHER", SECRET, TOKEN), 60, now), None, "signature.key"),
            (query(credentials, 60, now, "iotdata"), None, "signature.scope"),
            (query(credentials, 60, old), None, "signature.expired"),
            (query(credentials, 60, now + datetime.timedelta(minutes=10)), None, "signature.early"),
            (path, headers(old), "signature.expired"),
            (path + "&z=1", headers(now), "signature.mismatch"),
        ]
        for url, shown, code in refused:
            answer = told(address, url, shown)
            assert answer != 101 and answer[0] == 403 and code in answer[1], (url, code, answer)
        assert query(credentials, 601, old) and told(address, query(credentials, 660, old)) == 101
        counted = counters(address)
    assert refused_of(counted) == len(refused), counted
    print(f"        3 let in, {len(refused)} refused")


EXCHANGE_KEY, EXCHANGE_SECRET = "exchange-key", base64.b64encode(b"the secret of an exchange").decode()


def exchange_signatures(now, iso):
    """The signatures of a login at one moment, as the documentations of the exchanges have them."""
    secret, raw = EXCHANGE_SECRET.encode(), base64.b64decode(EXCHANGE_SECRET)

    def mac(key, text, by=hashlib.sha256):
        return hmac.new(key, text if isinstance(text, bytes) else text.encode(), by)

    return {
        "binance": mac(secret, f"apiKey={EXCHANGE_KEY}&timestamp={now}").hexdigest(),
        "okx": base64.b64encode(mac(secret, f"{int(now) // 1000}GET/users/self/verify").digest()).decode(),
        "coinbase": base64.b64encode(mac(raw, f"{int(now) // 1000}GET/users/self/verify").digest()).decode(),
        "kraken": base64.b64encode(
            mac(raw, b"/0/private/GetWebSocketsToken" + hashlib.sha256(f"{now}nonce={now}".encode()).digest(), hashlib.sha512).digest()
        ).decode(),
        "iso": base64.urlsafe_b64encode(hashlib.sha512(iso.encode()).digest()).decode().rstrip("="),
    }


LOGIN = """
[groups.connect]
headers = { X-Key = "{api_key}", X-Time = "{unix_ms}", X-Client = "{client}", X-Signature = "{hex(hmac_sha256(api_secret, 'GET/ws', unix_ms))}" }
[groups.session]
first_message = '''{"now":"{unix_ms}","s":"{now}","iso":"{now_iso}",\
"binance":"{hex(hmac_sha256(api_secret, "apiKey={api_key}&timestamp={unix_ms}"))}",\
"okx":"{base64(hmac_sha256(api_secret, now, "GET/users/self/verify"))}",\
"coinbase":"{base64(hmac_sha256(base64_decode(api_secret), now, 'GET', "/users/self/verify"))}",\
"kraken":"{base64(hmac_sha512(base64_decode(api_secret), "/0/private/GetWebSocketsToken", sha256(unix_ms, "nonce={unix_ms}")))}",\
"iso_digest":"{base64url(sha512(now_iso))}","key":"{urlencode("a b&{api_key}")}"}'''
ready = { message_contains = "welcome" }
"""


def check_exchanges():
    """The signatures of exchanges, by functions in a first message and in headers of the handshake, are those that Python's hmac makes; all of a message tell the same time."""
    logins, wrong, clients = [], [], set()

    async def session(connection):
        shown = connection.request.headers
        signed = hmac.new(EXCHANGE_SECRET.encode(), f"GET/ws{shown['X-Time']}".encode(), hashlib.sha256).hexdigest()
        if (shown["X-Key"], shown["X-Signature"]) != (EXCHANGE_KEY, signed) or shown["X-Client"] in clients:
            wrong.append(("headers", list(shown.raw_items())))
        clients.add(shown["X-Client"])
        login = json.loads(await connection.recv())
        logins.append(login)
        for name, signature in exchange_signatures(login["now"], login["iso"]).items():
            if login["iso_digest" if name == "iso" else name] != signature:
                wrong.append((name, login))
        if login["key"] != f"a%20b%26{EXCHANGE_KEY}" or int(login["s"]) != int(login["now"]) // 1000:
            wrong.append(("key", login))
        await connection.send("welcome")
        await connection.wait_closed()

    with tempfile.TemporaryDirectory() as home:
        service = Service(lambda *_: None, session)
        service.start()
        assert service.ready.wait(10)
        text = f'name = "exchange"\nduration = "2s"\n{UNTIMED}\n[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{service.port}/"\n'
        text += f'[[groups]]\nname = "traders"\nclients = {CLIENTS}\ntoken = {{ grant = "none" }}\n'
        text += f'[groups.prepare]\nvariables = {{ api_key = "{EXCHANGE_KEY}", api_secret = "{EXCHANGE_SECRET}" }}\n{LOGIN}'
        folder = run(home, text)
        service.end()
        shown = exchange_signatures(logins[0]["now"], logins[0]["iso"])
        no_secrets(folder, [EXCHANGE_SECRET, *shown.values()])
        assert "hmac_sha256" in (folder / "scenario.toml").read_text(), "the copy can be run again"
    assert not wrong and len(logins) == CLIENTS, (wrong, logins)
    print(f"        {len(logins)} logins, 5 signatures each")


CHECKS = [check_botocore_judges, check_botocore_signs, check_exchanges]
