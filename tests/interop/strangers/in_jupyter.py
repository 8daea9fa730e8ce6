"""Jupyter Server, whose identity provider knows tokens that end: `in_jupyter.py PORT HOME`.

Sessions outlive their tokens: Jupyter looks at a token in the handshake alone. The first line on stdout is the port of the token endpoint; on
SIGTERM it prints what it counted, and ends.
"""

import os
import sys

from book import Book, end_some_time, token_endpoint

# Read when Jupyter is imported: nothing of this machine's own settings is used.
for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
    os.environ[name] = sys.argv[2]

from jupyter_server.auth import IdentityProvider, User  # noqa: E402 - see above
from jupyter_server.serverapp import ServerApp  # noqa: E402

book = Book()


class TokensThatEnd(IdentityProvider):
    """Knows whoever shows a token of the book."""

    async def get_user(self, handler):
        """Who asks; `None`: nobody that is known."""
        token = self.get_token(handler) or ""
        why = book.why_not(token)
        if why:
            book.refused(token, why)
            return None
        book.admitted(token)
        return User(username=token.partition(".")[0])


def main():
    """Serves until it is told to end."""
    end_some_time()
    print(token_endpoint(book), flush=True)
    options = {"port": sys.argv[1], "ip": "127.0.0.1", "port_retries": 0, "open_browser": False, "allow_root": True}
    options |= {"root_dir": sys.argv[2], "log_level": 50, "identity_provider_class": "__main__.TokensThatEnd"}
    ServerApp.launch_instance([f"--ServerApp.{name}={value}" for name, value in options.items()])
    book.tell()


main()
