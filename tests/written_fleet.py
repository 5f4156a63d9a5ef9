"""A fleet of hand-written appliances: one HTTPS server, with an address on loopback for each."""

import contextlib
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import trustme

from backupkit import Limits
from tests.conftest import EPOCH

BACKUP: Final = "/api/appliance/recovery/backup"
PASSWORD: Final = "correct horse battery staple"  # of the tests
ROUTES: Final = {
    "log-in": "POST /api/session",
    "list": f"GET {BACKUP}/job",
    "details": f"GET {BACKUP}/job/details",
    "schedules": f"GET {BACKUP}/schedules",
    "version": "GET /api/appliance/system/version",
    "time zone": "GET /api/appliance/system/time/timezone",
}
"""The request of each route of a collection but that of one job, see `job_route`."""

EXCHANGE: Final = "POST /api/vcenter/authentication/token"
"""The request that exchanges an access token."""

TOKEN: Final = "POST /token"
"""The request for an access token, to an identity provider."""

NODES: Final = "GET /api/vcenter/topology/nodes"
"""The request of a discovery."""

PATIENT: Final = Limits(
    connect=60,
    read=60,
    silence=600,
    response=120,
    poll=600,
    attempts=2,
    backoff=0.001,
    concurrency=8,
)
"""Limits that hold where the machine has other work, with hardly any wait between attempts."""

Answer = tuple[int, bytes]


def job_route(job_id: str) -> str:
    """Return the request of one job."""
    return f"GET {BACKUP}/job/{job_id}"


def iso(time: datetime) -> str:
    """Return a time as an appliance writes it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.000Z"


def night(days: int) -> datetime:
    """Return the start of the job some nights before EPOCH: 01:00:05 UTC."""
    return EPOCH.replace(hour=1, minute=0, second=5) - timedelta(days=days)


def job_id(days: int) -> str:
    """Return the id of that job."""
    return f"{night(days):%Y%m%d-%H%M%S}-24322831"


def nightly_jobs(nights: int) -> dict[str, dict[str, Any]]:
    """Return the details of a success each night, the newest last."""
    return {
        job_id(days): {
            "status": "SUCCEEDED",
            "type": "SCHEDULED",
            "messages": [],
            "location": "sftp://nas.example.com/backup",
            "progress": {"total": 100, "completed": 100, "message": {"id": "", "args": []}},
            "size": 123_456_789,
            "start_time": iso(night(days)),
            "end_time": iso(night(days) + timedelta(minutes=20)),
        }
        for days in reversed(range(nights))
    }


@dataclass
class WrittenAppliance:
    """An appliance with a success each night at 01:00 UTC, and answers of its own."""

    name: str
    jobs: dict[str, dict[str, Any]] = field(default_factory=lambda: nightly_jobs(4))
    listed: Sequence[Any] | None = None
    changed: Mapping[str, Answer] = field(default_factory=dict)

    def answer(self, request: str) -> Answer:
        """Return status and body of the answer to ``METHOD path``."""
        own = self.changed.get(request) or self.changed.get(request.replace("DELETE", "POST"))
        if own is not None and not request.startswith("DELETE"):
            return own
        return self.usual_answers().get(request, (404, b'{"error_type": "NOT_FOUND"}'))

    def usual_answers(self) -> dict[str, Answer]:
        """Return the answers that follow the API."""
        ids = list(self.jobs) if self.listed is None else self.listed
        plan = {
            "enable": True,
            "location": "sftp://nas.example.com/backup",
            "parts": ["common", "seat"],
            "recurrence_info": {"hour": 1, "minute": 0},
            "retention_info": {"max_count": 7},
        }
        values: dict[str, object] = {
            ROUTES["log-in"]: "0123456789abcdef0123456789abcdef",
            "DELETE /api/session": None,
            ROUTES["list"]: ids,
            ROUTES["details"]: self.jobs,
            ROUTES["schedules"]: {"default": plan},
            ROUTES["version"]: {"version": "8.0.3.00400", "product": "x", "build": "24322831"},
            ROUTES["time zone"]: "Etc/UTC",
            EXCHANGE: {"access_token": "PHNhbWwyOkFzc2VydGlvbi8+", "expires_in": 299},
            TOKEN: {"access_token": "0123456789abcdef", "expires_in": 1800},
            NODES: [{"node": self.name, "type": "VCSA_EMBEDDED", "replication_partners": []}],
        }
        for name, job in self.jobs.items():
            state = "INPROGRESS" if job["status"] == "RUNNING" else job["status"]
            status = {"id": name, "state": state, "progress": 100}
            status |= {
                key: job[key] for key in ("messages", "start_time", "end_time") if key in job
            }
            values[job_route(name)] = status
        return {request: (200, json.dumps(value).encode()) for request, value in values.items()}


@contextlib.contextmanager
def serve(appliances: Sequence[WrittenAppliance], folder: Path) -> Iterator[Path]:
    """Serve appliances, and return their fleet.toml; the password is in VCSA_PASSWORD."""
    first = ipaddress.ip_address("127.1.0.1")
    by_address = {str(first + number): one for number, one in enumerate(appliances)}
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*by_address).configure_cert(context)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            address = self.headers["Host"].partition(":")[0]
            request = f"{self.command} {self.path.partition('?')[0]}"
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = by_address[address].answer(request)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 # names of the library

        def date_time_string(self, _timestamp: float | None = None) -> str:
            return f"{EPOCH:%a, %d %b %Y %H:%M:%S} GMT"

        def log_message(self, *_args: object) -> None:
            """Write no log."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 512

        def get_request(self) -> tuple[ssl.SSLSocket, Any]:
            connection, address = super().get_request()
            # the handshake is left to the thread of the connection
            wrapped = context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            return wrapped, address

    with Server(("", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        lines = [
            '[defaults]\nuser = "u@v"\npassword = { env = "VCSA_PASSWORD" }\nca_bundle = "ca.pem"',
            '[policy]\nrpo = "24h"\ngrace = "2h"',
            *(
                f'[[appliance]]\nname = "{one.name}"\nhost = "{address}:{server.server_port}"'
                for address, one in by_address.items()
            ),
        ]
        path = folder / "fleet.toml"
        path.write_text("\n".join(lines) + "\n")
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()


def with_answer(
    appliance: WrittenAppliance, route: str, status: int, body: bytes
) -> WrittenAppliance:
    """Return an appliance with another answer to a request."""
    return replace(appliance, changed={**appliance.changed, route: (status, body)})
