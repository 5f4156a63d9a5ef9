"""What the simulator offers, and that it is loaded late."""

import subprocess
import sys

import pytest

from backupkit import simulator


def test_every_name() -> None:
    """Each public name is there."""
    assert [name for name in simulator.__all__ if not hasattr(simulator, name)] == []


def test_unknown_name() -> None:
    """Any other name is not."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = simulator.Nothing


def test_faults_are_quick() -> None:
    """Kinds of faults can be named without loading what serves them."""
    probe = (
        "import sys; from backupkit.simulator import KINDS, Fault, mixed_faults; "
        "print(sorted({'trustme', 'cryptography', 'http.server', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
