"""Modules that each command loads: the large libraries, and the packages of backupkit.

A list of modules shows what a new import costs, and does not depend on the machine.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

import backupkit as bk
from backupkit.cli import COMMANDS
from backupkit.simulator import Scenario
from tests.conftest import Simulated, simulated

ROOT = Path(__file__).parent.parent

PROBE = """
import json, sys
from backupkit.cli import main
code = main(sys.argv[1:])
print()
print(json.dumps([code, sorted(sys.modules)]))
"""


class Loaded(NamedTuple):
    """Exit code of a command, and what it had loaded at its end."""

    code: int
    libraries: set[str]
    packages: set[str]


def list_libraries() -> set[str]:
    """Return the modules of all declared dependencies, also of the optional ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.split(r"[\[>=<]", one)[0].strip().lower().replace("_", "-") for one in declared}
    return {
        module
        for module, distributions in packages_distributions().items()
        if names & {one.lower().replace("_", "-") for one in distributions}
    }


SLOW = {"pydantic", "rich"}
"""Libraries that typer loads for some options, and that take longer than all else of a command."""

LIBRARIES = (list_libraries() | SLOW) - {
    *("backupkit", "pytest", "_pytest", "py", "pytest_cov", "mypy"),
}


def run(*argv: object) -> Loaded:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, argv)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    parts = [name.split(".") for name in modules]
    packages = {part[1] for part in parts if part[0] == "backupkit" and len(part) > 1}
    return Loaded(code, {part[0] for part in parts} & LIBRARIES, packages)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run one appliance, with a history of its jobs."""
    folder = tmp_path_factory.mktemp("loaded")
    scenario = Scenario.steady(appliances=1, jobs=3, epoch=datetime.now(UTC), flavours=("api",))
    with simulated(scenario, folder, clock=None) as running:
        history = bk.History(folder / "history.db")
        history.append(bk.collect(bk.Fleet.load(running.path), progress=False))
        yield running


COMMAND = {"typer", "msgspec"}
FRAMES = COMMAND | {"numpy", "pandas", "pyarrow"}
STORED = FRAMES | {"adbc_driver_manager", "adbc_driver_sqlite"}
LIBRARIES_OF = {
    "--help": COMMAND,
    "--version": COMMAND,
    "simulate": COMMAND | {"cryptography", "trustme", "pydantic"},  # it has numbers
    "open": {"typer"},
    "kit": COMMAND | {"pydantic"},  # it has an enumeration
    "init": FRAMES,
    "check": STORED,
    "metrics": STORED | {"prometheus_client"},
    "history": STORED,
    "alert": STORED | {"requests", "urllib3"},
    "note": COMMAND,
    "collect": COMMAND | {"requests", "urllib3", "filelock"},
    "schedule": COMMAND,
    "run": COMMAND | {"requests", "urllib3", "filelock"},
    "watch": FRAMES | {"requests", "urllib3"},
    "discover": FRAMES | {"requests", "urllib3", "cryptography"},
    "doctor": FRAMES | {"requests", "urllib3", "cryptography"},
}
"""The libraries that each command may load."""

SHARED = {"_version", "cli", "errors", "texts"}
READING = SHARED | {"display", "history", "settings", "tables"}
POLLING = {
    *("client", "collection", "fleet", "limits", "passwords", "progress", "protocol", "wire"),
}
JUDGING = {
    *(
        "accessor",
        "analysis",
        "assessment",
        "causes",
        "fleet",
        "inventory",
        "limits",
        "passwords",
        "policy",
        "progress",
    ),
    "reports",
}
PACKAGES_OF = {
    "--help": SHARED | {"simulator"},
    "--version": SHARED | {"simulator"},
    "simulate": SHARED | {"simulator"},
    "open": SHARED,
    "kit": SHARED | {"reports"},
    "init": SHARED
    | {
        "causes",
        "progress",
        "display",
        "fleet",
        "inventory",
        "limits",
        "passwords",
        "policy",
        "settings",
        "tables",
    },
    "check": READING | JUDGING,
    "metrics": READING | JUDGING,
    "history": READING,
    "alert": READING | (JUDGING - {"reports"}) | {"alerts", "client", "mail", "protocol", "wire"},
    "note": READING,
    "collect": READING | POLLING,
    "schedule": SHARED | {"display", "fleet", "limits", "passwords", "settings"},
    "run": READING | POLLING,
    "watch": READING | POLLING,
    "discover": (READING | POLLING | {"diagnostics", "inventory"}) - {"collection", "history"},
    "doctor": (READING | POLLING | {"accessor", "diagnostics", "inventory"})
    - {"collection", "history"},
}
"""The packages and modules of backupkit that each command may load."""


@pytest.mark.parametrize("command", LIBRARIES_OF)
def test_loaded(fleet: Simulated, tmp_path: Path, command: str) -> None:
    """A command loads exactly the libraries and packages that it needs."""
    history = fleet.path.with_name("history.db")
    both = ("--fleet", fleet.path, "--history", history)
    argv = {
        "simulate": ("--appliances", 1, "--jobs", 1, "--for", 0),
        "init": ("vc-1.test", "--output", "-"),
        "check": both,
        "metrics": (*both, "--out", tmp_path / "backupkit.prom"),
        "history": ("info", "--history", history),
        "alert": ("send", "--dry-run", *both),
        "note": ("list", "--history", history),
        "collect": both,
        "run": both,
        "schedule": ("cron", *both),
        "watch": both,
        "discover": ("--fleet", fleet.path),
        "doctor": ("--fleet", fleet.path),
        "kit": ("prometheus", tmp_path),
    }.get(command, ())
    loaded = run(command, *argv)
    assert loaded.code in {0, 1}, loaded
    assert loaded.libraries == LIBRARIES_OF[command]
    assert loaded.packages == PACKAGES_OF[command]


def test_every_command() -> None:
    """Each command has its list, but those that draw."""
    assert COMMANDS.keys() == LIBRARIES_OF.keys() - {"--help", "--version"} | {"report", "demo"}
