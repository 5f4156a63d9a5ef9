"""Simulator of a fleet of vCenter Server Appliances and their backup API.

Names are imported when first used, so that a help text can list the faults quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backupkit.simulator.appliance import SimulatedAppliance
    from backupkit.simulator.faults import KINDS, ROUTES, Fault, mixed_faults
    from backupkit.simulator.fleet import LoggedRequest as Request
    from backupkit.simulator.fleet import SimulatedFleet
    from backupkit.simulator.identity import IdentityProvider
    from backupkit.simulator.model import Trait
    from backupkit.simulator.scenario import ApplianceSpec, Scenario

__all__ = [
    "KINDS",
    "ROUTES",
    "ApplianceSpec",
    "Fault",
    "IdentityProvider",
    "Request",
    "Scenario",
    "SimulatedAppliance",
    "SimulatedFleet",
    "Trait",
    "mixed_faults",
]

_HOME = {
    "KINDS": ("faults", "KINDS"),
    "ROUTES": ("faults", "ROUTES"),
    "Fault": ("faults", "Fault"),
    "ApplianceSpec": ("scenario", "ApplianceSpec"),
    "IdentityProvider": ("identity", "IdentityProvider"),
    "Request": ("fleet", "LoggedRequest"),
    "Scenario": ("scenario", "Scenario"),
    "SimulatedAppliance": ("appliance", "SimulatedAppliance"),
    "SimulatedFleet": ("fleet", "SimulatedFleet"),
    "Trait": ("model", "Trait"),
    "mixed_faults": ("faults", "mixed_faults"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # any of the names above
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value
