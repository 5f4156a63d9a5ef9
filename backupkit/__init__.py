"""Is every vCenter Server Appliance inside its backup SLA: collect, judge and show.

    fleet = bk.Fleet.load("fleet.toml")
    history = bk.History("history.db")
    history.append(bk.collect(fleet, known=history))
    a = bk.evaluate(history, bk.Policy.load("fleet.toml"))
    bk.report(a).save("report.html")

Importing the package is quick: each name below is loaded when it is first used. With pandas, frames
have an attribute `backup`, see `backupkit.accessor`.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backupkit import errors, plots, simulator, tables, widgets
    from backupkit._version import __version__
    from backupkit.assessment import (
        Assessment,
        compare,
        evaluate,
        evaluate_frames,
        failures_by,
    )
    from backupkit.collection import Snapshot, collect, collect_into, watch
    from backupkit.diagnostics import discover, doctor
    from backupkit.fleet import Appliance, Fleet
    from backupkit.history import History
    from backupkit.limits import Limits
    from backupkit.passwords import IdentityProvider, PasswordSource
    from backupkit.policy import Policy
    from backupkit.reports import Report, report
    from backupkit.samples import Sample, sample
    from backupkit.scale import evaluate_dask

__all__ = [
    "Appliance",
    "Assessment",
    "Fleet",
    "History",
    "IdentityProvider",
    "Limits",
    "PasswordSource",
    "Policy",
    "Report",
    "Sample",
    "Snapshot",
    "__version__",
    "collect",
    "collect_into",
    "compare",
    "discover",
    "doctor",
    "errors",
    "evaluate",
    "evaluate_dask",
    "evaluate_frames",
    "failures_by",
    "forecast",
    "plots",
    "report",
    "sample",
    "simulator",
    "tables",
    "watch",
    "widgets",
]

_HOME = {
    "Appliance": "fleet",
    "Assessment": "assessment",
    "Fleet": "fleet",
    "History": "history",
    "IdentityProvider": "passwords",
    "Limits": "limits",
    "PasswordSource": "passwords",
    "Policy": "policy",
    "Report": "reports",
    "Sample": "samples",
    "Snapshot": "collection",
    "__version__": "_version",
    "collect": "collection",
    "collect_into": "collection",
    "compare": "assessment",
    "discover": "diagnostics",
    "doctor": "diagnostics",
    "errors": "",
    "evaluate": "assessment",
    "evaluate_dask": "scale",
    "evaluate_frames": "assessment",
    "forecast": "assessment",
    "failures_by": "assessment",
    "plots": "",
    "report": "reports",
    "sample": "samples",
    "simulator": "",
    "tables": "",
    "watch": "collection",
    "widgets": "",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the names above
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home or name}")
    if "pandas" in sys.modules:  # never load it for this alone
        import_module(f"{__name__}.accessor")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
