"""Machine and versions of a run, and the memory of a process."""

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.serving import ROOT

__all__ = ["describe_machine", "peak_memory", "reset_peak_memory"]

PACKAGES = (
    *("pandas", "numpy", "pyarrow", "polars", "duckdb", "matplotlib", "msgspec", "requests"),
    *("urllib3", "adbc-driver-sqlite", "adbc-driver-postgresql", "vmware-vcenter"),
)

MIB = 1024
"""KiB."""


def describe_machine() -> dict[str, str]:
    """Return the machine, the time, the commit, the versions and the load before."""
    cpu, memory = _field("/proc/cpuinfo", "model name"), _field("/proc/meminfo", "MemTotal")
    return {
        "machine": f"{os.cpu_count()} x {cpu or platform.machine()}, "
        f"{int((memory or '0').split()[0]) / MIB**2:.0f} GiB, {platform.system()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "versions": ", ".join(
            [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
            + [f"{name} {version(name)}" for name in PACKAGES]
        ),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def peak_memory() -> float:
    """Return the most memory that this process had, or had since `reset_peak_memory` [MiB]."""
    # not ru_maxrss: a child is born with its parent's peak
    return _memory("VmHWM")


def reset_peak_memory() -> float:
    """Restart the measure of the peak, and return the memory of this moment [MiB]."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    found = _field("/proc/self/status", name)
    if found is None:
        raise SystemExit(f"This system does not state {name}.")
    return int(found.split()[0]) / MIB


def _field(path: str, name: str) -> str | None:
    """Return the first value with this name in a file of names and values."""
    if not Path(path).exists():
        return None
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _commit() -> str:
    """Return the newest commit of the working copy, marked if files were changed since."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
