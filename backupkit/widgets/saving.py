"""Files that the explorer saves, and links to them."""

import base64
from html import escape
from itertools import chain, count
from pathlib import Path
from typing import Final

import pandas as pd

__all__ = ["choose_path", "render_link"]

_MAX_LINK_BYTES: Final = 6_000_000
"""Up to this size, a saved file is also a download link in the page [bytes]."""


def choose_path(folder: Path, now: pd.Timestamp, ending: str) -> Path:
    """Return the path of a new file: an export never replaces one of another selection."""
    stem = f"backupkit-{now:%Y%m%d-%H%M}"
    numbers = chain([""], (f"-{number}" for number in count(2)))
    paths = (folder / f"{stem}{number}{ending}" for number in numbers)
    return next(path for path in paths if not path.exists())


def render_link(path: Path) -> str:
    """Render the name and the size of a saved file, and a link to it unless it is too large."""
    data = path.read_bytes()
    name = escape(path.name)
    if len(data) <= _MAX_LINK_BYTES:
        media_type = "text/html" if path.suffix == ".html" else "text/csv"
        link = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        name = f'<a download="{name}" href="{link}">{name}</a>'
    return f"Saved {name} ({len(data) / 1024:,.0f} KiB)"
