"""A faithful stand-in for a fleet of vCenter Server Appliances and their backup API."""

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.fleet import LoggedRequest as Request
from backupkit.simulator.fleet import SimulatedFleet
from backupkit.simulator.model import Trait
from backupkit.simulator.scenario import Plan, Scenario

__all__ = ["Plan", "Request", "Scenario", "SimulatedAppliance", "SimulatedFleet", "Trait"]
