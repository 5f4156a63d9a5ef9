"""Releases: the same bytes from the same commit, and an archive that installs without internet."""

import hashlib
import json
import os
import shutil
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


CORE: tuple[tuple[str, int, str], ...] = (
    ("--version", 0, f"backupkit {backupkit.__version__}"),
    ("init vc-1.invalid --output new.toml --password-from env:NO_PASSWORD", 0, "new.toml"),
    ("check --as-of 2026-11-23T23:30Z", 2, "CRITICAL"),
    ("metrics --out backupkit.prom", 0, "backupkit.prom"),
    ("report --out report.html --as-of 2026-11-23T23:30Z", 0, "report.html"),
    ("history verify", 0, "Head: "),
    ("history export --out export", 0, "export"),
    ("note list", 0, ""),
    ("alert list", 0, ""),
    ("kit prometheus kit", 0, "kit"),
    ("schedule cron", 0, "backupkit run"),
    ("collect --fleet new.toml --history new.db", 4, "NO_PASSWORD"),
    ("doctor --fleet new.toml", 4, "NO_PASSWORD"),
    ("run --fleet new.toml --history new.db", 4, "NO_PASSWORD"),
    # each extra that a command needs has a sentence, and no traceback
    ("demo --out demo", 1, 'pip install "backupkit[demo]"'),
    ("simulate --for 0", 1, 'pip install "backupkit[demo]"'),
    ("report --xlsx --out sheet.html", 1, 'pip install "backupkit[xlsx]"'),
    ("check --history postgresql://a@127.0.0.1:9/b", 3, 'pip install "backupkit[postgresql]"'),
)
"""Command, exit code, and what it prints, where only the core is installed."""


def list_environment(**more: str) -> dict[str, str]:
    """Return the variables of a process that sees no package of this one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


@pytest.fixture(scope="module")
def installed(bundle: Path) -> Path:
    """Return the environment that the installer of the archive made, without an index."""
    target = bundle.with_name("own")
    done = install(bundle, target)
    assert done.returncode == 0, done.stderr
    return target


def test_core_alone(installed: Path, tmp_path: Path) -> None:
    """All commands but those of extras work with the core, and an extra is named by its command."""
    for name in ("fleet.example.toml", "history.db"):
        [data] = installed.glob(f"lib/*/site-packages/backupkit/data/{name}")
        shutil.copy(data, tmp_path / name.replace(".example", ""))
    for words, code, printed in CORE:
        done = subprocess.run(
            [str(installed / "bin" / "backupkit"), *words.split()],
            cwd=tmp_path,
            env=list_environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert (words, done.returncode) == (words, code), done.stderr
        assert printed in done.stdout + done.stderr
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert "backupkit_verdict" in (tmp_path / "backupkit.prom").read_text(encoding="utf-8")


def test_offline(bundle: Path, installed: Path) -> None:
    """The archive lists its components, and its installer replaces no folder."""
    components = json.loads((bundle / "bom.json").read_text(encoding="utf-8"))
    names = {component["name"].lower() for component in components["components"]}
    assert {"pandas", "requests", "matplotlib"} <= names
    again = install(bundle, installed)
    assert again.returncode == 1
    assert "exists. Remove it, or name another folder." in again.stderr


INSTALLERS = {
    "pipx": (("pipx", "install"), ("pipx", "uninstall")),
    "uv": (("uv", "tool", "install"), ("uv", "tool", "uninstall")),
}
"""How to install and to remove a command in an environment of its own."""


@pytest.mark.parametrize("installer", INSTALLERS)
def test_own_environment(bundle: Path, tmp_path: Path, installer: str) -> None:
    """The installer of commands makes one from the wheel, which works, and removes it again."""
    places = {
        "HOME": "home",
        "PIPX_HOME": "pipx",
        "PIPX_BIN_DIR": "bin",
        "PIPX_MAN_DIR": "man",
        "UV_TOOL_DIR": "tools",
        "UV_TOOL_BIN_DIR": "bin",
        "UV_CACHE_DIR": "cache",
    }
    environment = list_environment(
        PIPX_DEFAULT_BACKEND="uv",  # pip as the other one fetches a pip of its own first
        UV_FIND_LINKS=str(bundle / "wheels"),
        UV_NO_INDEX="1",
        UV_NO_CONFIG="1",
        UV_OFFLINE="1",
        **{name: str(tmp_path / folder) for name, folder in places.items()},
    )

    def call(*words: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    [wheel] = (bundle / "wheels").glob("backupkit-*.whl")
    install_words, remove_words = INSTALLERS[installer]
    python = (sys.executable, "-m")
    call(*python, *install_words, "--python", sys.executable, str(wheel))
    command = tmp_path / "bin" / "backupkit"
    assert call(str(command), "--version") == f"backupkit {backupkit.__version__}\n"
    call(str(command), "init", "vc-1.test", "--output", "fleet.toml")
    assert "vc-1.test" in (tmp_path / "fleet.toml").read_text(encoding="utf-8")
    call(*python, *remove_words, "backupkit")
    assert not command.exists()


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
