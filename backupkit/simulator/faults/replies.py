"""Table from the kind of a fault to the function that builds the reply."""

from backupkit.simulator.faults.bodies import BODIES, CONNECTIONS
from backupkit.simulator.faults.contents import CONTENTS
from backupkit.simulator.faults.context import FaultContext, ReplyFunction
from backupkit.simulator.faults.statuses import STATUSES
from backupkit.simulator.wire import Reply

REPLY_FUNCTIONS: dict[str, ReplyFunction] = CONNECTIONS | BODIES | STATUSES | CONTENTS


def apply_fault(context: FaultContext) -> Reply:
    """Return the reply to a request with a fault.

    Parameters
    ----------
    context : FaultContext
        Fault, appliance and request.

    Returns
    -------
    Reply
        Reply for the kind of the fault.
    """
    return REPLY_FUNCTIONS[context.fault.kind](context)
