"""Request with a fault, as passed to the functions that build replies."""

import dataclasses
from collections.abc import Callable

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import FaultError, Reply, Request, error_reply


@dataclasses.dataclass(frozen=True, slots=True)
class FaultContext:
    """Fault with its appliance and request."""

    fault: Fault
    appliance: SimulatedAppliance
    request: Request
    seed: int

    def regular_reply(self) -> Reply:
        """Run the operation, and return its regular reply."""
        return respond(self.appliance, self.request)

    def error_reply(self, error: FaultError) -> Reply:
        """Return an error of the API in the format of flavour and release."""
        return error_reply(self.request.flavour, self.appliance.release, error)


ReplyFunction = Callable[[FaultContext], Reply]
