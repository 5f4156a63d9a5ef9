"""The direction of the imports: the contracts hold, and each is seen to fail when broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")

BREACHES = {
    "layers": ("errors.py", "import backupkit.wire", "a layer imports only lower ones"),
    "siblings": ("protocol.py", "import backupkit.fleet", "a layer imports only lower ones"),
    "no place": ("drawer.py", "", "a layer imports only lower ones"),
    "simulator-alone": (
        "simulator/model.py",
        "import backupkit.errors",
        "the simulator imports nothing of backupkit",
    ),
    "requests-in-client": ("history.py", "import requests", "only client, and what stands on it"),
    "requests-direct": ("collect.py", "import requests", "client is the one user of requests"),
    "pure-analysis": (
        "analysis/slots.py",
        "import matplotlib.figure",
        "analysis draws nothing, fetches nothing, stores nothing",
    ),
    "json-in-wire": ("client.py", "import json", "the appliance's JSON is decoded in wire alone"),
}


def lint(folder: Path) -> tuple[int, str]:
    """Run import-linter on a copy of the package."""
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the package and its contracts to where they may be broken."""
    shutil.copytree(
        ROOT / "backupkit", tmp_path / "backupkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    """The package as it is keeps every contract."""
    code, text = lint(copy)
    assert code == 0, text


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_seen(copy: Path, breach: str) -> None:
    """One wrong import breaks the contract that forbids it."""
    module, line, contract = BREACHES[breach]
    path = copy / "backupkit" / module
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    code, text = lint(copy)
    assert code != 0
    broken = [line for line in text.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), text
