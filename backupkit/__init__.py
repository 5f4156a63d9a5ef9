"""Is every vCenter Server Appliance inside its backup SLA: collect, judge and show.

    fleet = bk.Fleet.load("fleet.toml")
    history = bk.History("history.db")
    history.append(bk.collect(fleet, known=history))
    a = bk.evaluate(history, bk.Policy.load("fleet.toml"))
    bk.report(a).save("report.html")

Importing the package is quick: each name below is loaded when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backupkit import errors, plots, simulator, widgets
    from backupkit._version import __version__
    from backupkit.assessment import Assessment, compare, evaluate, evaluate_frames
    from backupkit.client import Limits
    from backupkit.collect import Snapshot, collect, watch
    from backupkit.doctor import doctor
    from backupkit.fleet import Appliance, Fleet, PasswordSource
    from backupkit.history import History
    from backupkit.policy import Policy
    from backupkit.report import Report, report
    from backupkit.scale import evaluate_dask

__all__ = [
    "Appliance",
    "Assessment",
    "Fleet",
    "History",
    "Limits",
    "PasswordSource",
    "Policy",
    "Report",
    "Snapshot",
    "__version__",
    "collect",
    "compare",
    "doctor",
    "errors",
    "evaluate",
    "evaluate_dask",
    "evaluate_frames",
    "plots",
    "report",
    "simulator",
    "watch",
    "widgets",
]

_HOME = {
    "Appliance": "fleet",
    "Assessment": "assessment",
    "Fleet": "fleet",
    "History": "history",
    "Limits": "client",
    "PasswordSource": "fleet",
    "Policy": "policy",
    "Report": "report",
    "Snapshot": "collect",
    "__version__": "_version",
    "collect": "collect",
    "compare": "assessment",
    "doctor": "doctor",
    "errors": "",
    "evaluate": "assessment",
    "evaluate_dask": "scale",
    "evaluate_frames": "assessment",
    "plots": "",
    "report": "report",
    "simulator": "",
    "watch": "collect",
    "widgets": "",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the names above
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home or name}")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """The package, in which `collect`, `doctor` and `report` stay functions.

    Importing a submodule sets it as an attribute of its package, which would hide the function of
    the same name; what a user calls must not depend on what was imported before.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
