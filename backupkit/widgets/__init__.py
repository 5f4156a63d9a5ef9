"""Interactive figures and tables of a fleet for JupyterLab."""

try:
    import ipywidgets as _ipywidgets  # noqa: F401 # checks that it is installed
except ImportError as error:
    raise ImportError(
        'backupkit.widgets needs ipywidgets: pip install "backupkit[lab]", then restart the kernel.'
    ) from error

from backupkit.widgets.explore import explore
from backupkit.widgets.explorer import Explorer
from backupkit.widgets.selection import Selection
from backupkit.widgets.watch import Watcher, watch

__all__ = ["Explorer", "Selection", "Watcher", "explore", "watch"]
