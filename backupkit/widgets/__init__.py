"""Figures and tables of a fleet to click through in JupyterLab."""

try:
    import ipywidgets as _ipywidgets  # noqa: F401 # only to say what to install
except ImportError as error:
    raise ImportError(
        "backupkit.widgets needs ipywidgets: pip install 'backupkit[lab]', then restart the kernel."
    ) from error

from backupkit.widgets.explore import Explorer, explore
from backupkit.widgets.selection import Selection
from backupkit.widgets.watch import Watcher, watch

__all__ = ["Explorer", "Selection", "Watcher", "explore", "watch"]
