"""What the scenarios of this folder are run against: real services that can be made to fall, on this machine alone.

    rig.py up SCENARIO        starts what a scenario needs, until Ctrl-C or SIGTERM: services, nginx or haproxy before them, a token endpoint, DNS
    rig.py restart NUMBER     ends a service by SIGTERM, and waits until it is up again
    rig.py roll               does so with all of them, one after the other, with --pause between
    rig.py certify same|other gives nginx another certificate, of the same authority or of another, and reloads it
    rig.py point ADDRESS      has the name resolve to another address
    rig.py haproxy            starts haproxy anew by `-sf`, as a reload does

Needs Python 3.11 with `websockets` (and `dnslib` for DNS), nginx, haproxy, openssl: what the scenario names. It listens on 127.0.0.x and nowhere else.
What it writes, logs among it, is in the folder `rig` beside this file, or in --folder.
"""

import argparse
import contextlib
import hmac
import http.server
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLD, NEW = "127.0.0.2", "127.0.0.3"
# Where nginx is to be stopped by one signal.
ONE_PROCESS = "master_process off"
# Longest wait for anything.
PATIENCE = 20
# What stands before how many services, by scenario.
NEEDS = {
    "balancer-reload": ("nginx", 1),
    "balancer-reload-haproxy": ("haproxy", 1),
    "service-restart": (None, 1),
    "backend-dies": ("nginx", 3),
    "rolling-restart": ("nginx", 5),
    "half-open-balancer": ("one nginx", 1),
    "certificate-rotated": ("nginx tls", 1),
    "dns-failover": ("two nginx", 1),
}

NGINX = """
{processes};
worker_shutdown_timeout 3s;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error.log notice;
events {{ worker_connections 4096; }}
http {{
    # A line when a connection is over, with the time.
    log_format over '$msec $status $connection $upstream_addr';
    access_log {folder}/{name}.log over;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream services {{
{upstream}
    }}
    server {{
        listen {address}:{port}{tls};
        location / {{
            proxy_pass http://services;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_connect_timeout 2s;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"""
TLS = """ ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem"""

HAPROXY = """
global
    # What a reload leaves to old sessions.
    hard-stop-after 3s
    log 127.0.0.1:{log} local0
defaults
    mode http
    log global
    # A line when a connection is over, with the time.
    log-format "%[date(0,ms)] %ST %ts"
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend clients
    bind 127.0.0.1:{port}
    default_backend services
backend services
{servers}
"""


class Rig:
    """Where everything is: files in `folder`, ports from `port` on."""

    def __init__(self, folder, port):
        self.folder, self.port = Path(folder), port
        self.tokens, self.dns, self.log = port + 1, port + 2, port + 3

    def service_port(self, number):
        """The port of a service."""
        return self.port + 10 + number

    def pid(self, name):
        """The process of a pid file."""
        return int((self.folder / f"{name}.pid").read_text())

    def told(self, number):
        """What a service has logged."""
        path = self.folder / f"service-{number}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self, number):
        """How often a service has come up."""
        return sum(line["what"] == "up" for line in self.told(number))

    def services(self):
        """How many services there are."""
        return len(list(self.folder.glob("service-*.pid")))

    def restart(self, number):
        """Ends a service by SIGTERM, and waits until it is up again."""
        before = self.starts(number)
        os.kill(self.pid(f"service-{number}"), signal.SIGTERM)
        until(lambda: self.starts(number) > before, f"service {number} has not come up again")

    def haproxy(self):
        """Starts haproxy, which takes the place of the one before."""
        pid_file = self.folder / "haproxy.pid"
        before = ["-sf", *pid_file.read_text().split()] if pid_file.exists() else []
        config = self.folder / "haproxy.cfg"
        subprocess.run([program("haproxy"), "-D", "-f", config, "-p", pid_file, *before], check=True, timeout=PATIENCE)

    def certificates(self):
        """Two authorities, and certificates of both; the clients trust the first."""
        for name in ("ca", "other"):
            openssl("req", "-x509", "-days", "2", "-subj", f"/CN={name} of the rig", *self.key(name))
        for by, number in (("ca", 1), ("ca", 2), ("other", 1)):
            name = f"by-{by}-{number}"
            vouched = ["-CA", self.folder / f"{by}.pem", "-CAkey", self.folder / f"{by}.key", "-addext", "subjectAltName=IP:127.0.0.1"]
            server = ["-subj", "/CN=127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
            openssl("req", "-x509", "-days", "1", *server, *vouched, *self.key(name))
        self.certify("ca")

    def key(self, name):
        """Arguments of `openssl req` for a new key and what belongs to it."""
        files = ["-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem"]
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *files]

    def certify(self, by):
        """Another certificate by that authority than the one that is there."""
        now = self.folder / "cert.pem"
        certificates = sorted(self.folder.glob(f"by-{by}-*.pem"))
        new = next((one for one in certificates if not now.exists() or one.read_bytes() != now.read_bytes()), now)
        for file, name in ((new.with_suffix(".key"), "key.pem"), (new, "cert.pem")):
            shutil.copyfile(file, self.folder / "new")
            (self.folder / "new").replace(self.folder / name)

    def nginx(self, *arguments, name="nginx"):
        """Runs nginx with its configuration."""
        subprocess.run([program("nginx"), "-p", self.folder, "-c", f"{name}.conf", *arguments], check=True, timeout=PATIENCE, stderr=subprocess.DEVNULL)

    def point(self, address):
        """Has the name resolve to that address."""
        zone = self.folder / "zone"
        zone.with_suffix(".new").write_text(address)
        zone.with_suffix(".new").replace(zone)


def until(holds, otherwise):
    """Waits for something to hold."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            sys.exit(otherwise)
        time.sleep(0.02)


def listens(address, port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def program(name):
    """Where a program is."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return path or sys.exit(f"{name} is not installed")


def openssl(*arguments):
    """Runs openssl."""
    subprocess.run(["openssl", *arguments], check=True, timeout=PATIENCE, stderr=subprocess.DEVNULL)


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    """Issues a token to whoever asks: a name, and the mark by which services know it."""

    protocol_version = "HTTP/1.1"
    secret = ""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = secrets.token_hex(8)
        mark = hmac.digest(self.secret.encode(), name.encode(), "sha256").hex()
        body = json.dumps({"access_token": f"{name}.{mark}", "token_type": "bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is logged."""


class TokenServer(http.server.ThreadingHTTPServer):
    """Takes as many at once as there are."""

    request_queue_size = 1024


class Up:
    """What `up` has started, and ends."""

    def __init__(self, rig, restart_after, ttl, max_fails):
        self.rig, self.restart_after, self.ttl, self.max_fails = rig, restart_after, ttl, max_fails
        self.secret = secrets.token_hex(16)
        self.ending = threading.Event()
        self.balancers = []

    def keep_service(self, number, port):
        """Runs a service; where it ends, it is started again after a while, as a supervisor does."""
        log = self.rig.folder / f"service-{number}.log"
        command = [sys.executable, HERE / "service.py", "127.0.0.1", str(port), log, self.secret]
        while not self.ending.is_set():
            # Ctrl-C is for the rig alone.
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as service:
                (self.rig.folder / f"service-{number}.pid").write_text(str(service.pid))
                while service.poll() is None and not self.ending.wait(0.02):
                    pass
                if service.poll() is None:
                    service.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        service.wait(3)
                    service.kill()
            self.ending.wait(self.restart_after)

    def start_tokens(self):
        """The token endpoint."""
        handler = type("Handler", (TokenEndpoint,), {"secret": self.secret})
        server = TokenServer(("127.0.0.1", self.rig.tokens), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def start_nginx(self, services, address="127.0.0.1", name="nginx", processes="worker_processes 2", tls=""):
        """nginx before the services."""
        upstream = "\n".join(f"        server 127.0.0.1:{port} max_fails={self.max_fails} fail_timeout=1s;" for port in services)
        values = {"folder": self.rig.folder, "name": name, "processes": processes, "upstream": upstream, "address": address}
        config = self.rig.folder / f"{name}.conf"
        config.write_text(NGINX.format(port=self.rig.port, tls=tls, **values))
        self.rig.nginx(name=name)
        self.balancers.append(name)
        until(lambda: listens(address, self.rig.port), f"{name} does not listen")

    def start_haproxy(self, services):
        """haproxy before the services; its log, which it sends over UDP, becomes a file."""
        log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        log.bind(("127.0.0.1", self.rig.log))
        threading.Thread(target=self.keep_log, args=[log], daemon=True).start()
        servers = "\n".join(f"    server service{port} 127.0.0.1:{port}" for port in services)
        (self.rig.folder / "haproxy.cfg").write_text(HAPROXY.format(log=self.rig.log, port=self.rig.port, servers=servers))
        self.rig.haproxy()
        self.balancers.append("haproxy")
        until(lambda: listens("127.0.0.1", self.rig.port), "haproxy does not listen")

    def keep_log(self, log):
        """Writes what haproxy says, without the head of syslog."""
        with open(self.rig.folder / "haproxy.log", "a", buffering=1) as file:
            while True:
                file.write(log.recv(4096).decode().partition("]: ")[2].rstrip() + "\n")

    def start_dns(self):
        """Answers to every name with the address in the file `zone`."""
        from dnslib import QTYPE, RR, A, server

        class Zone:
            def resolve(zone, request, _):  # noqa: N805 - `self` is the rig
                reply = request.reply()
                if request.q.qtype == QTYPE.A:
                    address = (self.rig.folder / "zone").read_text()
                    reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=self.ttl))
                return reply

        self.rig.point(OLD)
        for tcp in (False, True):
            quiet = server.DNSLogger("-request,-reply,-truncated,-error")
            server.DNSServer(Zone(), address="127.0.0.1", port=self.rig.dns, tcp=tcp, logger=quiet).start_thread()

    def start(self, before, count):
        """Starts all of it."""
        self.rig.folder.mkdir(parents=True, exist_ok=True)
        self.start_tokens()
        ports = [self.rig.service_port(number) for number in range(1, count + 1)] if before else [self.rig.port]
        services = [threading.Thread(target=self.keep_service, args=pair) for pair in enumerate(ports, 1)]
        for service in services:
            service.start()
        for number in range(1, len(ports) + 1):
            until(lambda: self.rig.starts(number), f"service {number} does not listen")
        if before == "nginx":
            self.start_nginx(ports)
        elif before == "one nginx":
            self.start_nginx(ports, processes=ONE_PROCESS)
        elif before == "nginx tls":
            self.rig.certificates()
            self.start_nginx(ports, tls=TLS.format(folder=self.rig.folder))
        elif before == "haproxy":
            self.start_haproxy(ports)
        elif before == "two nginx":
            self.start_dns()
            self.start_nginx(ports, OLD, "old", ONE_PROCESS)
            self.start_nginx(ports, NEW, "new")
        return services

    def end(self, services):
        """Ends all of it."""
        self.ending.set()
        for name in self.balancers:
            for pid in (self.rig.folder / f"{name}.pid").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGCONT)
                    os.kill(int(pid), signal.SIGTERM)
        for service in services:
            service.join()


def main():
    """Does what was asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=["up", "restart", "roll", "certify", "point", "haproxy"])
    asked.add_argument("which", nargs="?", default="")
    asked.add_argument("--folder", default=HERE / "rig")
    asked.add_argument("--port", type=int, default=9700, help="the first of twenty; 9700 without it")
    asked.add_argument("--services", type=int, help="how many; without it: what the scenario needs")
    asked.add_argument("--restart-after", type=float, default=1, help="seconds until a service that has ended is started again")
    asked.add_argument("--pause", type=float, default=10, help="seconds between the restarts of `roll`")
    asked.add_argument("--ttl", type=int, default=5, help="seconds for which a name may be kept")
    asked.add_argument("--max-fails", type=int, default=0, help="max_fails of nginx's servers")
    asked = asked.parse_args()
    rig = Rig(asked.folder, asked.port)
    if asked.what == "up":
        before, count = NEEDS.get(asked.which) or sys.exit(f"a scenario is needed: {', '.join(NEEDS)}")
        up = Up(rig, asked.restart_after, asked.ttl, asked.max_fails)
        services = up.start(before, asked.services or count)
        print(f"{asked.which} is up on port {rig.port}; what happens is in {rig.folder}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: up.ending.set())
        up.ending.wait()
        up.end(services)
    elif asked.what == "restart":
        rig.restart(int(asked.which))
    elif asked.what == "roll":
        for number in range(1, rig.services() + 1):
            time.sleep(asked.pause if number > 1 else 0)
            rig.restart(number)
    elif asked.what == "certify":
        rig.certify({"same": "ca", "other": "other"}[asked.which])
        rig.nginx("-s", "reload")
    elif asked.what == "point":
        rig.point(asked.which)
    elif asked.what == "haproxy":
        rig.haproxy()


if __name__ == "__main__":
    main()
