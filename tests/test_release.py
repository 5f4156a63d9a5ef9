"""Releases: the same bytes from the same commit, and an archive that installs without internet."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import backupkit

ROOT = Path(__file__).parent.parent
OFFLINE = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "https://127.0.0.1:9/simple",  # nothing listens there
    "HTTPS_PROXY": "http://127.0.0.1:9",
}


def run(script: str, *options: str) -> str:
    """Run one of the scripts, and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / script), *options],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_same_bytes(tmp_path: Path) -> None:
    """Two builds have the same digests, and the sums are those of the files."""
    first, second = (run("dist.py", "--out", str(tmp_path / name)) for name in ("a", "b"))
    names = [line.split("  ")[1] for line in first.splitlines() if "  backupkit" in line]
    version = backupkit.__version__
    assert sorted(names) == [f"backupkit-{version}-py3-none-any.whl", f"backupkit-{version}.tar.gz"]
    sums = [(tmp_path / name / "SHA256SUMS").read_text() for name in ("a", "b")]
    assert sums[0] == sums[1]
    assert sums[0] in first
    assert sums[1] in second
    for line in sums[0].splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() == digest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked archive of the core, built with the index that pip knows here."""
    folder = tmp_path_factory.mktemp("bundle")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    probe = [*pip, "--dest", str(folder / "probe"), "packaging"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("needs a package index")
    run("bundle.py", "--extras", "", "--out", str(folder / "dist"))
    [archive] = (folder / "dist").glob("*-offline-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def install(bundle: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Run the installer of an archive without an index."""
    return subprocess.run(
        [sys.executable, str(bundle / "install.py"), str(target)],
        env=os.environ | OFFLINE,
        check=False,
        capture_output=True,
        text=True,
    )


def test_offline(bundle: Path, tmp_path: Path) -> None:
    """It installs without an index, and the installed commands work with the core alone."""
    target = tmp_path / "own"
    done = install(bundle, target)
    assert done.returncode == 0, done.stderr
    command = [str(target / "bin" / "backupkit")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for words in (
        ["--version"],
        ["demo", "--out", "demo"],
        ["check", "--fleet", "demo/fleet.toml", "--history", "demo/history.db"],
    ):
        done = subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in {0, 1, 2, 3}
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    components = json.loads((bundle / "bom.json").read_text(encoding="utf-8"))
    names = {component["name"].lower() for component in components["components"]}
    assert {"pandas", "requests", "matplotlib"} <= names
    again = install(bundle, target)
    assert again.returncode == 1
    assert "exists. Remove it, or name another folder." in again.stderr


def test_changed_wheel(bundle: Path, tmp_path: Path) -> None:
    """A wheel whose digest is another one is not installed."""
    requirements = bundle / "requirements.txt"
    original = requirements.read_text(encoding="utf-8")
    first, rest = original.split("\n", 1)
    requirements.write_text(f"{first[:-1]}{'0' if first[-1] != '0' else '1'}\n{rest}")
    done = install(bundle, tmp_path / "own")
    requirements.write_text(original)
    assert done.returncode == 1
    assert "The installation failed." in done.stderr


def test_workflow() -> None:
    """The workflow follows its schema, and calls what everybody else calls."""
    path = ROOT / ".github" / "workflows" / "test.yml"
    check = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ]
    subprocess.run([*check, str(path)], check=True)
    assert path.read_text(encoding="utf-8").rstrip().endswith("- run: .ci/run")
