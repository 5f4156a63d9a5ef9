"""Output in the running notebook cell."""

import sys
from typing import Any

__all__ = ["show"]


def show(thing: Any) -> bool:  # noqa: ANN401 # any displayable object
    """Display an object below the running notebook cell; do nothing outside a notebook.

    Parameters
    ----------
    thing : object
        With ``_repr_html_`` or another IPython display method.

    Returns
    -------
    bool
        Whether a notebook kernel is running.

    Examples
    --------
    >>> show("a thing")
    False
    """
    # a notebook has already imported IPython; do not import it elsewhere
    ipython = sys.modules.get("IPython")
    if ipython is None or getattr(ipython.get_ipython(), "kernel", None) is None:
        return False
    ipython.display.display(thing)
    return True
