"""Locust: a user is a greenlet that fetches a token, connects by websocket-client, waits for the close, and does so once more."""

import os
import time

import gevent
import requests
import websocket
from locust import LoadTestShape, User, constant, events, task

PORT = os.environ["PEERS_PORT"]
CLIENTS = int(os.environ["PEERS_CLIENTS"])
RAMP_S = float(os.environ["PEERS_RAMP_S"])
END_S = RAMP_S + float(os.environ["PEERS_HOLD_S"])
FORM = {
    "grant_type": "client_credentials",
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "scope": "analytics:events:read",
}


class Shape(LoadTestShape):
    """Everybody comes within the ramp, and the run ends at its end."""

    def tick(self):
        return (CLIENTS, CLIENTS / RAMP_S) if self.get_run_time() < END_S else None


class Client(User):
    wait_time = constant(0)

    def connect(self):
        token = requests.post(f"http://127.0.0.1:{PORT}/oauth/token", data=FORM, timeout=60).json()["access_token"]
        return websocket.create_connection(
            f"ws://127.0.0.1:{PORT}/api/v2/analytics/events", header=[f"Authorization: Bearer {token}"], timeout=None)

    def hold(self, connection):
        """Reads until the service closes."""
        try:
            while connection.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
                pass
        except (websocket.WebSocketException, OSError):
            pass

    @task
    def live(self):
        connection = self.connect()
        self.hold(connection)
        connection.close()
        closed_at = time.perf_counter()
        connection = self.connect()
        took = (time.perf_counter() - closed_at) * 1000
        events.request.fire(request_type="WS", name="reconnect", response_time=took, response_length=0, exception=None)
        self.hold(connection)
        gevent.sleep(3600)
