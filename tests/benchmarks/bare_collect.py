"""A script without backupkit that asks as `backupkit collect` does where nothing is new.

    python -m tests.benchmarks.bare_collect FLEET.toml KNOWN.db

Of each appliance it opens a session, reads the job list and the schedules, and logs out. It reads
the known ids from SQLite. It has no retries, no time limits, no threads and no history, and prints
how many jobs are listed, and how many of them are new.
"""

import sqlite3
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import requests

TIMEOUT = 60
"""For one answer [s]."""


def main(fleet: Path, known: str) -> None:
    """Ask each appliance, one after the other."""
    site = tomllib.loads(fleet.read_text(encoding="utf-8"))
    user, folder = site["defaults"]["user"], fleet.parent
    password = (folder / site["defaults"]["password"]["file"]).read_text(encoding="utf-8").strip()
    listed = new = 0
    with closing(sqlite3.connect(known)) as store:
        for appliance in site["appliance"]:
            base = f"https://{appliance['host']}/rest"
            with requests.Session() as session:
                session.trust_env = False  # quicker, and a CA bundle of the environment counts more
                session.verify = str(folder / site["defaults"]["ca_bundle"])
                login = f"{base}/com/vmware/cis/session"
                opened = session.post(login, auth=(user, password), timeout=TIMEOUT)
                session.headers["vmware-api-session-id"] = opened.json()["value"]
                path = f"{base}/appliance/recovery/backup"
                ids = session.get(f"{path}/job", timeout=TIMEOUT).json()["value"]
                session.get(f"{path}/schedules", timeout=TIMEOUT).json()
                session.delete(login, timeout=TIMEOUT)
            rows = store.execute("SELECT id FROM job WHERE appliance = ?", [appliance["name"]])
            listed += len(ids)
            new += len(set(ids) - {number for (number,) in rows})
    sys.stdout.write(f"{listed} {new}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
