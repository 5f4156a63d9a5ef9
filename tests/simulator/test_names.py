"""The public names of the simulator, loaded at first use."""

import subprocess
import sys

import pytest

from backupkit import simulator


def test_every_name() -> None:
    """Each public name is available."""
    assert [name for name in simulator.__all__ if not hasattr(simulator, name)] == []


def test_unknown_name() -> None:
    """An unknown name is an error."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = simulator.Nothing


def test_faults_are_quick() -> None:
    """The kinds of faults are available without loading the server."""
    probe = (
        "import sys; from backupkit.simulator import KINDS, Fault, mixed_faults; "
        "print(sorted({'trustme', 'cryptography', 'http.server', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
