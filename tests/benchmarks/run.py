"""Measure collecting against its peers, as ratios in one run: ``make bench``.

The simulated fleet runs in a process of its own. Rounds are interleaved, so that a noisy machine is
noisy for all; each figure is the median of the rounds.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import requests
from com.vmware.appliance.recovery.backup.job_client import Details
from vmware.vapi.lib.connect import get_requests_connector
from vmware.vapi.security.client.security_context_filter import LegacySecurityContextFilter
from vmware.vapi.security.session import create_session_security_context
from vmware.vapi.stdlib.client.factories import StubConfigurationFactory

import backupkit as bk

APPLIANCES, JOBS, ROUNDS = 50, 400, 5


@contextlib.contextmanager
def simulated_fleet(folder: Path) -> Iterator[bk.Fleet]:
    """Run the fleet in another process; 6.5 is left out, since it has no details to compare."""
    path = folder / "fleet.toml"
    argv = [sys.executable, "-m", "backupkit", "simulate", "--write-fleet", str(path)]
    argv += ["--appliances", str(APPLIANCES), "--jobs", str(JOBS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for _ in range(APPLIANCES):
            process.stdout.readline()
        try:
            yield bk.Fleet.load(path)
        finally:
            process.terminate()


@contextlib.contextmanager
def session_of(appliance: bk.Appliance) -> Iterator[tuple[requests.Session, str]]:
    """Log in as a plain script would."""
    base = f"https://{appliance.host}"
    with requests.Session() as session:
        session.trust_env = False  # else a CA bundle of the environment would replace ours
        session.verify = str(appliance.ca_bundle)
        credentials = (appliance.user, appliance.password.read(appliance.user))
        answer = session.post(f"{base}/rest/com/vmware/cis/session", auth=credentials, timeout=60)
        session.headers["vmware-api-session-id"] = answer.json()["value"]
        yield session, base
        session.delete(f"{base}/rest/com/vmware/cis/session", timeout=60)


def collect_all(fleet: bk.Fleet) -> int:
    """Collect with backupkit: everything, as a first round does."""
    return len(bk.collect(fleet, progress=False).jobs)


def plain_requests(fleet: bk.Fleet) -> int:
    """Collect as a good plain script does: details by a Session, appliance after appliance."""
    rows = []
    for appliance in fleet:
        with session_of(appliance) as (session, base):
            url = f"{base}/rest/appliance/recovery/backup/job/details"
            pairs = session.get(url, timeout=60).json()["value"]
            rows += [{"appliance": appliance.name, "id": p["key"], **p["value"]} for p in pairs]
    frame = pd.DataFrame(rows)
    for column in ("start_time", "end_time"):
        frame[column] = pd.to_datetime(frame[column])
    return len(frame)


def official_client(fleet: bk.Fleet) -> int:
    """Collect as the official client does it best: Details.list, appliance after appliance."""
    count = 0
    for appliance in fleet:
        with session_of(appliance) as (session, base):
            token = session.headers["vmware-api-session-id"]
            connector = get_requests_connector(
                session=session,
                msg_protocol="rest",
                url=f"{base}/rest",
                provider_filter_chain=[
                    LegacySecurityContextFilter(
                        security_context=create_session_security_context(token)
                    )
                ],
            )
            details = Details(StubConfigurationFactory.new_std_configuration(connector))
            count += len(details.list())
    return count


def main() -> None:
    """Print each peer's median time and its ratio to backupkit's."""
    with tempfile.TemporaryDirectory() as folder, simulated_fleet(Path(folder)) as fleet:
        history = bk.History(Path(folder) / "history")
        history.append(bk.collect(fleet, progress=False))

        def second_round(fleet: bk.Fleet) -> int:
            return len(bk.collect(fleet, known=history.jobs(), progress=False).jobs)

        peers: dict[str, Callable[[bk.Fleet], int]] = {
            "backupkit, first round": collect_all,
            "backupkit, nothing new": second_round,
            "requests + json, one by one": plain_requests,
            "official client, Details.list": official_client,
        }
        times: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(ROUNDS):
            for name, peer in peers.items():
                began = time.perf_counter()
                got = peer(fleet)
                times[name].append(time.perf_counter() - began)
                expected = 0 if peer is second_round else APPLIANCES * JOBS
                if got != expected:
                    raise SystemExit(f"{name} gave {got} jobs and not {expected}")
    base = statistics.median(times["backupkit, first round"])
    print(f"{APPLIANCES} appliances x {JOBS} jobs, median of {ROUNDS} rounds")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:32} {median:7.2f} s   {median / base:6.2f} x the first round")


if __name__ == "__main__":
    main()
