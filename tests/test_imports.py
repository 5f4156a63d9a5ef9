"""The import contracts hold, and each fails when an import breaks it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")

BREACHES = {
    "layers": ("errors.py", "import backupkit.wire", "a layer imports only lower ones"),
    "siblings": (
        "protocol/request.py",
        "import backupkit.fleet",
        "a layer imports only lower ones",
    ),
    "no-circles": (
        "policy/values.py",
        "import backupkit.policy.policy",
        "modules and packages beside each other import in one direction",
    ),
    "simulator-alone": (
        "simulator/__init__.py",
        "import backupkit.errors",
        "the simulator imports nothing of backupkit",
    ),
    "requests-in-client": (
        "history/__init__.py",
        "import requests",
        "only client, and what stands on it",
    ),
    "requests-direct": (
        "collection/__init__.py",
        "import requests",
        "client is the one user of requests",
    ),
    "pure-analysis": (
        "analysis/__init__.py",
        "import matplotlib.figure",
        "analysis draws nothing, fetches nothing, stores nothing",
    ),
    "offline": (
        "reports/__init__.py",
        "import backupkit.history",
        "evaluation, plots and report reach neither",
    ),
    "plots-from-frames": (
        "plots/__init__.py",
        "import backupkit.settings",
        "plots import the frames' contracts alone",
    ),
    "history-stores": (
        "history/__init__.py",
        "import backupkit.fleet",
        "the history imports nothing that polls or evaluates",
    ),
    "json-in-wire": (
        "client/__init__.py",
        "import json",
        "the appliance's JSON is decoded in wire alone",
    ),
}
"""For each contract a file, an import that breaks it, and the start of the contract's name."""


def lint(folder: Path) -> tuple[int, str]:
    """Run import-linter in a folder; return its exit code and output."""
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def assert_broken(folder: Path, contract: str) -> None:
    """Check that import-linter reports a contract as broken."""
    code, text = lint(folder)
    assert code != 0
    broken = [line for line in text.splitlines() if " BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the package and its contracts."""
    shutil.copytree(
        ROOT / "backupkit", tmp_path / "backupkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    """The package keeps every contract."""
    code, text = lint(copy)
    assert code == 0, text


@pytest.mark.parametrize("breach", BREACHES)
def test_breach(copy: Path, breach: str) -> None:
    """A wrong import breaks the contract that forbids it."""
    module, line, contract = BREACHES[breach]
    path = copy / "backupkit" / module
    with path.open("r+", encoding="utf-8") as file:  # fails without the file
        file.seek(0, 2)
        file.write(f"\n{line}\n")
    assert_broken(copy, contract)


def test_new_package(copy: Path) -> None:
    """A package without a layer is reported."""
    (copy / "backupkit" / "drawer.py").touch()
    assert_broken(copy, "a layer imports only lower ones")


def test_every_contract(copy: Path) -> None:
    """Each contract has a breach."""
    contracts = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))
    named = {one["id"] for one in contracts["tool"]["importlinter"]["contracts"]}
    assert named == BREACHES.keys() - {"siblings"}
