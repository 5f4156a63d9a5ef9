"""A fleet of appliances that answer over HTTPS as quickly as one process of Python can.

It stands in where the simulator itself would be what is measured: every answer is ready, no
password or token is checked, and each answer can be held back for some milliseconds.
"""

import argparse
import asyncio
import functools
import gc
import re
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path

import trustme

from tests.benchmarks.answers import Answers, steady_answers

__all__ = ["READY"]

READY = "ready"
"""What the process says once all ports are open and fleet.toml is written."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One kept connection to one appliance.

    Parameters
    ----------
    answers : Answers
        What the appliance says.
    delay : float
        How long each answer is held back [s].
    """

    def __init__(self, answers: Answers, delay: float) -> None:
        self._answers, self._delay = answers, delay
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to send answers."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # as asyncio has it
        """Send nothing any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        self._received += data
        while (line := self._take_request()) is not None:
            answer = self._answers.response(line)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._send, answer)
            else:
                self._send(answer)

    def _take_request(self) -> bytes | None:
        """Remove one request from the received bytes, and return its first line."""
        head, end, rest = self._received.partition(_END_OF_HEAD)
        if not end:
            return None
        # the official client sends a body even with GET
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return head.partition(b"\r\n")[0]

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def serve(folder: Path, fleet: Iterable[Answers], delay: float) -> None:
    """Open a port per appliance, write fleet.toml, and answer until stdin ends."""
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authority.issue_cert("127.0.0.1").configure_cert(context)
    hosts = {}
    for answers in fleet:
        connection = functools.partial(Connection, answers, delay)
        server = await loop.create_server(connection, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        hosts[answers.appliance.name] = f"127.0.0.1:{port}"
    _write_fleet(folder, hosts, answers.appliance.user, answers.appliance.password)
    print(READY, flush=True)
    parent_gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), parent_gone.set)
    await parent_gone.wait()


def _write_fleet(folder: Path, hosts: dict[str, str], user: str, password: str) -> None:
    (folder / "password").write_text(password, encoding="utf-8")
    lines = ["[defaults]", f'user = "{user}"', 'password = { file = "password" }']
    lines.append('ca_bundle = "ca.pem"')
    for name, host in hosts.items():
        lines += ["[[appliance]]", f'name = "{name}"', f'host = "{host}"']
    (folder / "fleet.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where fleet.toml is written")
    parser.add_argument("--appliances", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=400, help="of each appliance")
    parser.add_argument("--delay", type=float, default=0, help="of each answer [ms]")
    parser.add_argument("--each", action="store_true", help="make answers to job/{id} beforehand")
    wanted = parser.parse_args()
    fleet = steady_answers(wanted.appliances, wanted.jobs)
    if wanted.each:
        for answers in fleet:
            answers.make_each()
    gc.collect()
    gc.freeze()  # otherwise each garbage collection would scan all responses
    asyncio.run(serve(wanted.folder, fleet, wanted.delay / 1000))


if __name__ == "__main__":
    main()
