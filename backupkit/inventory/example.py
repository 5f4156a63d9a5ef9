"""The example of a fleet.toml with all keys, which is installed with the package."""

from pathlib import Path
from typing import Final

__all__ = ["EXAMPLE", "find_data_folder", "read_example"]

EXAMPLE: Final = "fleet.example.toml"


def find_data_folder() -> Path:
    """Return the folder of the data: in the installed package, else beside it in the repository."""
    package = Path(__file__).parents[1]
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def read_example() -> str:
    """Return the example of a fleet.toml.

    Examples
    --------
    >>> read_example().splitlines()[0]
    '# Which appliances there are, where their secrets are kept, and what the SLA asks of them.'
    """
    return (find_data_folder() / EXAMPLE).read_text(encoding="utf-8")
