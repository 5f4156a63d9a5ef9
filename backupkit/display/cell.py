"""The notebook's cell that runs, if there is one."""

import sys
from typing import Any

__all__ = ["show"]


def show(thing: Any) -> bool:  # noqa: ANN401 # whatever can show itself
    """Show a thing below the cell that runs; where no notebook looks, do nothing.

    Parameters
    ----------
    thing : object
        With a ``_repr_html_``, or any other way of showing itself in a notebook.

    Returns
    -------
    bool
        Whether there is a cell.

    Examples
    --------
    >>> show("a thing")
    False
    """
    # whoever runs in a notebook has loaded IPython; nobody else should have to
    ipython = sys.modules.get("IPython")
    if ipython is None or getattr(ipython.get_ipython(), "kernel", None) is None:
        return False
    ipython.display.display(thing)
    return True
