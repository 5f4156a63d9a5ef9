"""Faults in the content of a few jobs; the other jobs stay correct.

A reply about jobs is split into pairs of id and record. The pairs of the selected jobs are
changed, and the reply is built again.
"""

import dataclasses
import hashlib
import http
import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.faults.fault import Fault, route_of
from backupkit.simulator.payloads import Object
from backupkit.simulator.routes import job_not_found
from backupkit.simulator.wire import Flavour, Reply, Request

if TYPE_CHECKING:
    from backupkit.simulator.faults.replies import FaultContext

Pair = tuple[str, Object]
Change = Callable[[Object, int], Object]

STATES = ("state", "status")  # in job/{id}, in the details
TIMES = ("start_time", "end_time")
REQUIRED = (*STATES, "start_time", "messages", "location", "type", "progress", "id")
NUMBERS: tuple[float, ...] = (-5, 250, 1e300)
ODD_IDS = ("{0}/1", "../{0}", "{0}?a=b&c", "{0}#1", "{0} (1)", "100%25{0}%", "{0}-Müller-日")


def affected_jobs(fault: Fault, appliance: SimulatedAppliance, seed: int) -> dict[str, int]:
    """Return the position of each job with wrong content, by id.

    Jobs are ranked by a hash, so a new job rarely changes the selection.
    """

    def rank(identifier: str) -> bytes:
        key = f"{seed}/{appliance.name}/{fault.kind}/{identifier}"
        return hashlib.sha256(key.encode()).digest()

    count = fault.jobs if fault.jobs is not None else len(ODD_IDS) if fault.kind == "odd_ids" else 1
    selected = sorted((job.id for job in appliance.jobs()), key=rank)[:count]
    return {identifier: index for index, identifier in enumerate(selected)}


def listed_id(fault: Fault, identifier: str, index: int) -> str:
    """Return the id under which the job at a position of `affected_jobs` appears."""
    if fault.kind != "odd_ids":
        return identifier
    return ODD_IDS[index % len(ODD_IDS)].format(identifier)


def _missing_field(job: Object, index: int) -> Object:
    present = [key for key in REQUIRED if key in job]
    removed = present[index % len(present)]
    return {key: value for key, value in job.items() if key != removed}


def _null_text(job: Object, index: int) -> Object:
    present = [key for key in REQUIRED if isinstance(job.get(key), str)]
    return {**job, present[index % len(present)]: None}


def _absurd_numbers(job: Object, index: int) -> Object:
    number = NUMBERS[index % len(NUMBERS)]
    progress = job.get("progress")
    nested = {**progress, "completed": number} if isinstance(progress, dict) else number
    absurd = {"progress": nested, "size": 2**70, "duration": -1}
    return {key: absurd.get(key, value) for key, value in job.items()}


def _change_values(keys: tuple[str, ...], change: Callable[[str], str]) -> Change:
    return lambda job, _index: {
        key: change(str(value)) if key in keys else value for key, value in job.items()
    }


CHANGES: Mapping[str, Change] = {
    "unknown_state": _change_values(STATES, lambda _text: "SUSPENDED"),
    "extra_fields": lambda job, _index: {
        **job,
        "priority": 3,
        "replicas": [{"site": "Zürich", "copied": None}],
    },
    "missing_field": _missing_field,
    "null_text": _null_text,
    "absurd_numbers": _absurd_numbers,
    "zoneless_time": _change_values(TIMES, lambda text: text.removesuffix("Z")),
    "offset_time": _change_values(TIMES, lambda text: text.replace("Z", "+0000")),
    "second_60": _change_values(TIMES, lambda text: f"{text[:17]}60{text[19:]}"),
}


def _pairs(fault: Fault, pair: Pair, index: int) -> list[Pair]:
    """Return the pairs for one selected job: none, one changed, or two."""
    identifier, job = pair
    match fault.kind:
        case "gone" | "undetailed":
            return []
        case "duplicate_ids":
            return [pair, pair]
        case "odd_ids":
            odd = listed_id(fault, identifier, index)
            return [(odd, {**job, "id": odd} if "id" in job else job)]
        case kind:
            return [(identifier, CHANGES[kind](job, index))]


def change_jobs(context: "FaultContext") -> Reply:
    """Return the regular reply with the affected jobs changed."""
    fault = context.fault
    affected = affected_jobs(fault, context.appliance, context.seed)
    if fault.kind == "odd_ids":
        odd = {key: listed_id(fault, key, index) for key, index in affected.items()}
        names = odd | {name: key for key, name in odd.items()}
        context = dataclasses.replace(context, request=_with_ids(context.request, names))
    reply = context.regular_reply()
    if reply.status != http.HTTPStatus.OK:
        return reply
    route, flavour = route_of(context.request), context.request.flavour
    value = msgspec.json.decode(reply.body)
    pairs = [
        changed
        for pair in _split(route, value["value"] if flavour == "rest" else value)
        for changed in (_pairs(fault, pair, affected[pair[0]]) if pair[0] in affected else [pair])
    ]
    if route == "job" and not pairs:
        return context.error_reply(job_not_found(context.request.last))
    text = _join(route, flavour, pairs)
    body = f'{{"value":{text}}}' if flavour == "rest" else text
    return dataclasses.replace(reply, body=body.encode())


def _with_ids(request: Request, names: Mapping[str, str]) -> Request:
    """Return the request with other job ids."""
    path, _, query = request.target.partition("?")
    last = urllib.parse.quote(names.get(request.last, request.last), safe="")
    path = f"{path.rpartition('/')[0]}/{last}"
    filters = [
        (key, names.get(value, value)) for key, values in request.query.items() for value in values
    ]
    mark = "?" if query else ""
    return dataclasses.replace(request, target=f"{path}{mark}{urllib.parse.urlencode(filters)}")


def _split(route: str, value: Any) -> list[Pair]:  # noqa: ANN401  # any JSON
    if route == "list":
        return [(identifier, {}) for identifier in value]
    if route == "job":
        return [(value["id"], value)]
    if isinstance(value, dict):
        return list(value.items())
    return [(pair["key"], pair["value"]) for pair in value]


def _join(route: str, flavour: Flavour, pairs: list[Pair]) -> str:
    """Encode the value as JSON, by hand if a key may occur twice."""
    if route == "list":
        return _json([identifier for identifier, _ in pairs])
    if route == "job":
        return _json(pairs[0][1])
    if flavour == "rest":
        return _json([{"key": key, "value": job} for key, job in pairs])
    return "{" + ",".join(f"{_json(key)}:{_json(job)}" for key, job in pairs) + "}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # unlike msgspec it supports numbers of any size
