"""Credentials of NATS as `nsc` makes them: keys of an operator, an account and a user, and the signed texts that bind them.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt; signatures are OpenSSL's.
"""

import base64
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
# An Ed25519 key of RFC 8410 before its 32 bytes.
BEFORE_KEY = bytes.fromhex("302e020100300506032b657004220420")


def checksum(data):
    """CRC-16/XMODEM."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc.to_bytes(2, "little")


def coded(data):
    """Bytes as keys are written."""
    return base64.b32encode(data + checksum(data)).decode().rstrip("=")


def plain(data):
    """Bytes as they stand in signed texts."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    """A key, and whose it is."""

    def __init__(self, kind):
        seed = os.urandom(32)
        self.secret = BEFORE_KEY + seed
        self.seed = coded(bytes([SEED | kind >> 5, (kind & 31) << 3]) + seed)
        self.public = coded(bytes([kind]) + self.openssl("pkey", "-pubout", "-outform", "DER")[-32:])

    def openssl(self, command, *more):
        """What OpenSSL makes of the key."""
        with tempfile.TemporaryDirectory() as home:
            file = Path(home) / "key.der"
            file.write_bytes(self.secret)
            done = subprocess.run(["openssl", command, "-inform" if command == "pkey" else "-keyform", "DER", "-in" if command == "pkey" else "-inkey", file, *more], capture_output=True, check=True, timeout=60)
        return done.stdout

    def sign(self, data):
        """The signature of bytes."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.openssl("pkeyutl", "-sign", "-rawin", "-in", file.name)

    def vouch(self, name, public, claims):
        """A text that binds a name and a key to what they may do."""
        body = {"jti": public[:20], "iat": int(time.time()) - 60, "iss": self.public, "name": name, "sub": public, "nats": claims | {"version": 2}}
        text = ".".join(plain(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return f"{text}.{plain(self.sign(text.encode()))}"


class Credentials:
    """An operator with one account that has JetStream, one user of it, and the system's account that a server asks for."""

    def __init__(self):
        operator, account, system, self.key = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT), Key(USER)
        own = operator.vouch("checks", operator.public, {"type": "operator"})
        every = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"), -1)
        of_account = operator.vouch("resurge", account.public, {"type": "account", "limits": every | {"wildcards": True}})
        of_system = operator.vouch("system", system.public, {"type": "account", "limits": dict.fromkeys(("subs", "data", "payload", "conn"), -1)})
        self.jwt = account.vouch("worker", self.key.public, {"type": "user", "subs": -1, "data": -1, "payload": -1})
        accounts = f"{account.public}: {of_account}\n{system.public}: {of_system}"
        self.config = f"operator: {own}\nsystem_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{\n{accounts}\n}}"

    def file(self):
        """What the file of the user holds."""
        seed = f"-----BEGIN USER NKEY SEED-----\n{self.key.seed}\n------END USER NKEY SEED------\n"
        return f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n{seed}"

    def answer(self, nonce):
        """What a client says to a server that has told it a nonce."""
        return {"jwt": self.jwt, "sig": plain(self.key.sign(nonce.encode()))}
