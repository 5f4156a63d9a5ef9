"""A script without backupkit that does the least by hand: requests, msgspec, threads.

    python -m tests.benchmarks.lean FLEET.toml THREADS

It prepares its requests itself, shares one TLS context, ignores the environment, and decodes to
typed columns. It has no retries, limits, time-outs of a whole response, checks or history.
"""

import ssl
import sys
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import requests
from requests.adapters import HTTPAdapter

__all__ = ["Site", "details", "load_site"]

BACKUP = "rest/appliance/recovery/backup"
SESSION = "rest/com/vmware/cis/session"
TIMEOUT = 60
"""For one answer [s]."""


class Job(msgspec.Struct, gc=False):
    """One job of the details."""

    status: str
    start_time: str
    messages: list[dict[str, Any]] = []
    end_time: str | None = None
    progress: Any = None
    type: str | None = None
    size: int | None = None
    location: str | None = None
    build: Any = None


class Pair(msgspec.Struct, gc=False):
    """A job and its id."""

    key: str
    value: Job


class Details(msgspec.Struct):
    """The body of an answer."""

    value: list[Pair]


class Site(msgspec.Struct):
    """Appliances, and how to log in to them."""

    hosts: Sequence[str]
    user: str
    password: str
    context: ssl.SSLContext


_DECODER = msgspec.json.Decoder(Details)


class _Adapter(HTTPAdapter):
    """An adapter that never loads the public authorities."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests has it
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401 # as requests has it
        """Do nothing: the context verifies."""


def load_site(path: Path) -> Site:
    """Read the fleet.toml of a simulated fleet."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    defaults = table["defaults"]
    password = path.with_name(defaults["password"]["file"]).read_text(encoding="utf-8")
    context = ssl.create_default_context(cafile=str(path.with_name(defaults["ca_bundle"])))
    return Site(
        [one["host"] for one in table["appliance"]], defaults["user"], password.strip(), context
    )


def details(site: Site, *, threads: int) -> int:
    """Read the details of all jobs into one frame, and return how many they are."""
    with ThreadPoolExecutor(threads) as pool:
        read = list(pool.map(lambda host: (host, _visit(site, host)), site.hosts))
    pairs = [(host, one.key, one.value) for host, many in read for one in many]
    names = Job.__struct_fields__
    columns = {name: [getattr(job, name) for _, _, job in pairs] for name in names}
    frame = pd.DataFrame(
        {"host": [host for host, _, _ in pairs], "id": [key for _, key, _ in pairs], **columns}
    )
    for name in ("start_time", "end_time"):
        frame[name] = pd.to_datetime(frame[name], format="ISO8601")
    return len(frame)


def _visit(site: Site, host: str) -> list[Pair]:
    """Log in, read the details, and log out."""
    base = f"https://{host}"
    adapter = _Adapter(site.context)
    login = requests.Request("POST", f"{base}/{SESSION}", auth=(site.user, site.password))
    token = adapter.send(login.prepare(), timeout=TIMEOUT).json()["value"]
    headers = {"vmware-api-session-id": token, "Accept": "application/json"}
    request = requests.Request("GET", f"{base}/{BACKUP}/job/details", headers=headers).prepare()
    pairs = _DECODER.decode(adapter.send(request, timeout=TIMEOUT).content).value
    request.method, request.url = "DELETE", f"{base}/{SESSION}"
    adapter.send(request, timeout=TIMEOUT)
    adapter.close()
    return pairs


if __name__ == "__main__":
    print(details(load_site(Path(sys.argv[1])), threads=int(sys.argv[2])))
