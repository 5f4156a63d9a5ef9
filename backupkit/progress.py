"""Progress of long work: a bar in a terminal or a notebook, some plain lines elsewhere."""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, Self

__all__ = ["Bar", "is_notebook", "open_bar"]

_PAUSE: Final = 30.0  # s


class Bar(Protocol):
    """Progress bar: a context that closes it at its end."""

    n: float

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> object: ...
    def update(self, n: float = 1) -> object:
        """Add some finished items."""

    def set_postfix(
        self,
        ordered_dict: Mapping[str, object] | None = None,
        refresh: bool | None = True,  # noqa: FBT001, FBT002 # as tqdm has it
        **counts: object,
    ) -> None:
        """Show counts beside the bar."""


class HiddenBar(nullcontext[Any]):
    """Bar that is not shown."""

    n: float = 0

    def __enter__(self) -> Self:
        return self

    def update(self, n: float = 1) -> None:
        """Add some finished items."""
        self.n += n

    def set_postfix(
        self,
        ordered_dict: Mapping[str, object] | None = None,
        refresh: bool | None = True,  # noqa: FBT001, FBT002 # as tqdm has it
        **counts: object,
    ) -> None:
        """Show nothing."""


class LineBar(HiddenBar):
    """Bar for a log or a pipe: a plain line on stderr, at most one each half minute."""

    def __init__(self, total: int, title: str) -> None:
        super().__init__()
        self._total, self._title = total, title
        self._next = monotonic() + _PAUSE

    def update(self, n: float = 1) -> None:
        """Add some finished items."""
        super().update(n)
        if (now := monotonic()) >= self._next:
            self._next = now + _PAUSE
            sys.stderr.write(f"{self._title}: {self.n:,} of {self._total:,} appliances\n")
            sys.stderr.flush()


def is_notebook() -> bool:
    """Return whether a Jupyter kernel runs this code.

    Examples
    --------
    >>> is_notebook()
    False
    """
    # a notebook has already imported IPython; do not import it elsewhere
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def open_bar(total: int, title: str, *, progress: bool | None) -> Bar:
    """Return a bar that counts appliances.

    Parameters
    ----------
    total : int
        Number of appliances.
    title : str
        Text before the bar.
    progress : bool or None
        Whether to show it; None: in a terminal or a notebook, and elsewhere as plain lines.

    Examples
    --------
    >>> with open_bar(2, "Checking", progress=False) as bar:
    ...     _ = bar.update()
    >>> bar.n
    1
    """
    if progress is None and not (is_notebook() or sys.stderr.isatty()):
        return LineBar(total, title)
    if progress is False:
        return HiddenBar()
    from tqdm.auto import tqdm  # noqa: PLC0415 # slow to import

    bar: Bar = tqdm(total=total, desc=title, unit="appliance")
    return bar
