"""Servers and channels for the tests of alerts."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from backupkit.alerts.messages import Digest
from backupkit.errors import DeliveryError


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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
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


class CrashError(BaseException):
    """The process dies; no code of backupkit catches it."""


@dataclass
class ScriptedChannel:
    """A channel that delivers, fails or dies, as a test sets it."""

    name: str = "ops"
    mode: str = "works"
    delivered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changes(self) -> list[list[str]]:
        """The changes of each delivered message: change and key."""
        return [
            [f"{one['change']} {one['key']}" for one in document["changes"]]
            for document in self.delivered
        ]

    def send(self, digest: Digest) -> None:
        """Deliver a digest, or do not."""
        if self.mode == "dies before":
            raise CrashError
        if self.mode == "fails":
            raise DeliveryError("the service is down", advice="Start it.", subject=self.name)
        self.delivered.append(json.loads(digest.body))
        if self.mode == "dies after":
            raise CrashError
        if self.mode == "hangs up":
            raise DeliveryError("no response", subject=self.name, delivery="perhaps")
