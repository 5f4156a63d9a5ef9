"""Table from the kind of a fault to the function that builds the reply."""

from backupkit.simulator.faults.bodies import BODIES, CONNECTIONS
from backupkit.simulator.faults.case import Answering, Case
from backupkit.simulator.faults.contents import CONTENTS
from backupkit.simulator.faults.statuses import STATUSES
from backupkit.simulator.wire import Reply

ANSWERS: dict[str, Answering] = CONNECTIONS | BODIES | STATUSES | CONTENTS


def befallen(case: Case) -> Reply:
    """Return the reply to a request with a fault.

    Parameters
    ----------
    case : Case
        Fault, appliance and request.

    Returns
    -------
    Reply
        Reply for the kind of the fault.
    """
    return ANSWERS[case.fault.kind](case)
