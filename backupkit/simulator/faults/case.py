"""One request that a fault befalls."""

import dataclasses
from collections.abc import Callable

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import FaultError, Reply, Request, failed


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A fault, and whom it befalls with what."""

    fault: Fault
    appliance: SimulatedAppliance
    request: Request
    seed: int

    def normal(self) -> Reply:
        """Do what was asked for, and answer as if nothing were wrong."""
        return respond(self.appliance, self.request)

    def refused(self, error: FaultError) -> Reply:
        """Answer an error of the API in the shape of flavour and release."""
        return failed(self.request.flavour, self.appliance.release, error)


Answering = Callable[[Case], Reply]
