"""An HTTP server on loopback that stores what it gets."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receiver:
    """An HTTP server on loopback that stores the requests it gets."""

    url: str = ""
    status: int = 204
    location: str = ""
    hangs_up: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The JSON documents of the requests."""
        return [json.loads(body) for method, _, _, body in self.seen if method == "POST"]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Run an HTTP server on loopback."""
    found = Receiver()
    found.gate.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            found.seen.append(
                (self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
            )
            found.gate.wait(30)
            if found.hangs_up:
                self.close_connection = True
                return
            self.send_response(found.status)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = handle_any  # noqa: N815 # names of the library

        def log_message(self, *_args: object) -> None:
            """Write no log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        server.shutdown()
        thread.join()
