"""Trouble on the way, drawn at random by a seed: for trying out how a client copes."""

import dataclasses
import http
from collections.abc import Mapping

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.model import Message, dice
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import FaultError, Flavour, Reply, Request, failed, proxied

KINDS = ("error", "html", "reset", "slow", "truncated", "unavailable")
SLOWNESS = 5.0  # [s] a slow answer takes longer


def checked(rates: Mapping[str, float]) -> dict[str, float]:
    """Check rates of faults.

    Parameters
    ----------
    rates : mapping
        Kind of fault to share of the requests, 0 to 1.

    Returns
    -------
    dict
        The same.

    Raises
    ------
    ValueError
        For a kind that does not exist, and for shares that do not fit into 0 to 1.

    Examples
    --------
    >>> checked({"reset": 0.25})
    {'reset': 0.25}
    """
    unknown = sorted(set(rates) - set(KINDS))
    if unknown:
        raise ValueError(f"No fault {unknown[0]!r}; there are {', '.join(KINDS)}.")
    if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1:
        raise ValueError(f"Rates of faults lie between 0 and 1, together too; got {dict(rates)}.")
    return dict(rates)


def drawn(rates: Mapping[str, float], seed: str) -> str | None:
    """Draw what befalls one request.

    Parameters
    ----------
    rates : mapping
        As `checked` returns them.
    seed : str
        Of this very request.

    Returns
    -------
    str or None
        A kind of fault; None mostly.

    Examples
    --------
    >>> drawn({"slow": 1.0}, "any"), drawn({}, "any")
    ('slow', None)
    """
    left = dice(seed).random()
    for kind, rate in rates.items():
        if left < rate:
            return kind
        left -= rate
    return None


def befallen(kind: str | None, appliance: SimulatedAppliance, request: Request) -> Reply | None:
    """Answer a request that something may have befallen.

    Parameters
    ----------
    kind : str or None
        As `drawn` returns it; ``slow`` is the caller's affair.
    appliance : SimulatedAppliance
        Whom the request is sent to.
    request : Request
        Anything at all.

    Returns
    -------
    Reply or None
        None: drop the connection.
    """
    flavour: Flavour = "rest" if request.path.startswith("/rest/") else "api"
    match kind:
        case "reset":
            return None
        case "html":
            return proxied()
        case "error":
            text = "Provider method implementation threw unexpected exception: null"
            source = Message("vapi.bindings.method.impl.unexpected", text, ("null",))
            status, word = http.HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"
            return failed(flavour, appliance.release, FaultError(status, word, source))
        case "unavailable":
            source = Message("sample.service.starting", "The service is not available yet.")
            status, word = http.HTTPStatus.SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE"
            return failed(flavour, appliance.release, FaultError(status, word, source))
    reply = respond(appliance, request)
    return dataclasses.replace(reply, cut=True) if kind == "truncated" else reply
