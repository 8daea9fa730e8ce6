"""Jupyter Server with a password: `jupyter_login.py PORT HOME PASSWORD`. On SIGTERM it prints how many WebSockets it has opened, and ends."""

import json
import os
import sys

from book import end_some_time

# Read when Jupyter is imported: nothing of this machine's own settings is used.
for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
    os.environ[name] = sys.argv[2]

from jupyter_server.auth import passwd  # noqa: E402 - see above
from jupyter_server.serverapp import ServerApp  # noqa: E402
from jupyter_server.services.events.handlers import SubscribeWebsocket  # noqa: E402

opened = 0
usual = SubscribeWebsocket.open


def counting(handler, *arguments, **named):
    """One more."""
    global opened
    opened += 1
    return usual(handler, *arguments, **named)


def main():
    """Serves until it is told to end."""
    end_some_time()
    SubscribeWebsocket.open = counting
    options = {"port": sys.argv[1], "ip": "127.0.0.1", "port_retries": 0, "open_browser": False, "allow_root": True}
    options |= {"root_dir": sys.argv[2], "log_level": 50}
    arguments = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    # Its hash has characters that a command line would read otherwise.
    ServerApp.launch_instance(arguments + [f"--PasswordIdentityProvider.hashed_password={passwd(sys.argv[3], 'sha1')}", "--IdentityProvider.token="])
    print(json.dumps({"opened": opened}), flush=True)


main()
