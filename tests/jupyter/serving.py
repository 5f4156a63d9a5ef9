"""Jupyter's servers on loopback, each with folders of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.chromium import ROOT

_SHIPPED = ("notebooks", "data")


def workspace(folder: Path) -> Path:
    """Copy notebooks and sample data, as in an unpacked project.

    Returns
    -------
    Path
        The folder of the notebooks.
    """
    for name in _SHIPPED:
        ignored = shutil.ignore_patterns(".ipynb_checkpoints")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder / "notebooks"


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Jupyter reads and writes nothing of this machine's user."""
    coverage = ("COV_", "COVERAGE_")  # tracing would only slow the server down
    mine = {name: value for name, value in os.environ.items() if not name.startswith(coverage)}
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
    }
    for name in own.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        **mine,
        **{variable: str(folder / name) for variable, name in own.items()},
        "JUPYTER_PLATFORM_DIRS": "1",
    }


def free_port() -> int:
    """Find a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
    return port


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    *,
    ready: str,
    folder: Path,
    cwd: Path,
    more: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a command of this environment for the context; it is up when `ready` responds."""
    tool = str(Path(sys.executable).with_name(command[0]))
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [tool, *command[1:]],
            cwd=cwd,
            env={**environment(folder), **(more or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            _until(ready, process, log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:  # the kernels are in its group
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _until(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the first response."""
    due = time.monotonic() + 60
    while time.monotonic() < due and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 # loopback, given above
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not answer: {log.read_text(errors='replace')}")
