"""Scripts without backupkit: loops over requests and urllib3, and wrk for the wire."""

import contextlib
import re
import shutil
import ssl
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import pandas as pd
import requests
import urllib3

import backupkit as bk
from tests.benchmarks.answers import BACKUP

__all__ = ["TIMEOUT", "addresses", "details_loop", "logged_in", "pooled", "wire"]

TIMEOUT = 60
"""How long anybody waits for an answer [s]."""

Address = tuple[str, str]
"""Host, and the path of a job."""


@contextlib.contextmanager
def logged_in(appliance: bk.Appliance) -> Iterator[tuple[requests.Session, str]]:
    """Log in as a simple script does."""
    base = f"https://{appliance.host}"
    with requests.Session() as session:
        session.trust_env = False  # else a CA bundle of the environment would replace ours
        session.verify = str(appliance.ca_bundle)
        credentials = (appliance.user, appliance.password.read(appliance.user))
        address = f"{base}/rest/com/vmware/cis/session"
        answer = session.post(address, auth=credentials, timeout=TIMEOUT)
        session.headers["vmware-api-session-id"] = answer.json()["value"]
        yield session, base
        session.delete(address, timeout=TIMEOUT)


def details_loop(appliances: Iterable[bk.Appliance]) -> int:
    """Collect as a good script does: details by a Session, appliance after appliance."""
    rows = []
    for appliance in appliances:
        with logged_in(appliance) as (session, base):
            pairs = session.get(f"{base}/rest/{BACKUP}/job/details", timeout=TIMEOUT).json()
            rows += [
                {"appliance": appliance.name, "id": pair["key"], **pair["value"]}
                for pair in pairs["value"]
            ]
    frame = pd.DataFrame(rows)
    for column in ("start_time", "end_time"):
        frame[column] = pd.to_datetime(frame[column])
    return len(frame)


def addresses(appliances: Iterable[bk.Appliance]) -> list[Address]:
    """Return the URL of each job, with the appliances in turns."""
    columns: list[list[Address]] = []
    for appliance in appliances:
        with logged_in(appliance) as (session, base):
            ids = session.get(f"{base}/rest/{BACKUP}/job", timeout=TIMEOUT).json()["value"]
        columns.append([(appliance.host, f"/rest/{BACKUP}/job/{job_id}") for job_id in ids])
    return [one for turn in zip_longest(*columns) for one in turn if one]


def pooled(jobs: Sequence[Address], *, ca_bundle: str, threads: int) -> int:
    """Read each job's answer through urllib3's pools, from some threads; nothing is decoded."""
    context = ssl.create_default_context(cafile=ca_bundle)
    pools = {
        host: urllib3.connectionpool.connection_from_url(
            f"https://{host}", ssl_context=context, maxsize=threads, timeout=TIMEOUT, retries=False
        )
        for host, _ in jobs
    }
    headers = {"vmware-api-session-id": "any", "Accept": "application/json"}
    waiting = deque(jobs)

    def read() -> int:
        count = 0
        with contextlib.suppress(IndexError):  # another thread took the last one
            while True:
                host, path = waiting.popleft()
                answer = pools[host].urlopen("GET", path, headers=headers)
                count += answer.status == requests.codes.ok and bool(answer.data)
        return count

    with ThreadPoolExecutor(threads) as executor:
        count = sum(turn.result() for turn in [executor.submit(read) for _ in range(threads)])
    for pool in pools.values():
        pool.close()
    return count


def wire(job: Address, *, connections: int, seconds: int) -> int:
    """Read one job repeatedly with wrk, and return how often."""
    host, path = job
    wrk = shutil.which("wrk")
    assert wrk is not None
    argv = [wrk, "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    said = subprocess.run(
        [*argv, f"https://{host}{path}"],
        capture_output=True,
        check=True,
        text=True,
        timeout=seconds + TIMEOUT,
    ).stdout
    found = re.search(r"(\d+) requests in", said)
    assert found is not None, said
    assert "Non-2xx" not in said, said
    return int(found[1])
