"""The table of docs/odd-responses.md: what each odd answer of an appliance leads to.

``python -m tests.odd_responses`` writes the page; a test compares it.
"""

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import backupkit as bk
from backupkit.cli.commands.collect import exit_code
from backupkit.collection import Snapshot
from backupkit.diagnostics import discover
from tests.conftest import EPOCH, epoch
from tests.written_fleet import (
    EXCHANGE,
    NODES,
    PASSWORD,
    PATIENT,
    ROUTES,
    TOKEN,
    WrittenAppliance,
    job_id,
    job_route,
    nightly_jobs,
    serve,
    with_answer,
)

ERROR_TYPES: Final = {
    **dict.fromkeys(("NOT_FOUND", "OPERATION_NOT_FOUND"), 404),
    "UNAUTHENTICATED": 401,
    "UNAUTHORIZED": 403,
    "CONCURRENT_CHANGE": 409,
    "SERVICE_UNAVAILABLE": 503,
    "TIMED_OUT": 504,
    **dict.fromkeys(
        ("CANCELED", "ERROR", "INTERNAL_SERVER_ERROR", "UNEXPECTED_INPUT", "UNVERIFIED_PEER"), 500
    ),
    **dict.fromkeys(
        (
            *("ALREADY_EXISTS", "ALREADY_IN_DESIRED_STATE", "FEATURE_IN_USE", "INVALID_ARGUMENT"),
            *("INVALID_ELEMENT_CONFIGURATION", "INVALID_ELEMENT_TYPE", "INVALID_REQUEST"),
            *("NOT_ALLOWED_IN_CURRENT_STATE", "RESOURCE_BUSY", "RESOURCE_IN_USE"),
            *("RESOURCE_INACCESSIBLE", "UNABLE_TO_ALLOCATE_RESOURCE", "UNSUPPORTED"),
        ),
        400,
    ),
}
"""The 25 types of errors of the API, each with the HTTP status that goes with it."""

PAGE: Final = Path(__file__).parent.parent / "docs" / "odd-responses.md"
NEWEST: Final = job_id(0)

_HEAD: Final = """\
# Odd responses

What each odd answer of an appliance leads to. The appliance makes a backup each night at 01:00 UTC.
It is read for the first time at 06:00, with an RPO of 24 h and a grace of 2 h, so that the verdict
hangs on the newest job. One route gives the odd answer, also when it is asked again. For the route
*job*, the job details lack the newest job, so that it is read by itself.

`python -m tests.odd_responses` makes this page from real collections over HTTPS.

* *answer*: an HTTP status without a body, an error of the API, or a body with status 200.
* *poll*: `ok`, or the kind of its error. *job*: the state of the newest job as it is stored.
* *slot*: the state of the expected runs of the last 24 h. *state*: that of the appliance.
* *exit*: the exit code of `backupkit collect` if the fleet has only this appliance.

| route | answer | poll | job | slot | state | exit | sentence |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


_NODES_HEAD: Final = """
## Discovery

The list of the nodes of the SSO domain (`GET vcenter/topology/nodes`) is read by
`backupkit discover` and `backupkit doctor`, not by a collection. No figure depends on it.

* *doctor*: the result of the check *SSO domain*.
* *sentence*: why `backupkit discover` does not know the nodes; its exit code is then 4.

| answer | doctor | sentence |
| --- | --- | --- |
"""


_SIGN_IN_HEAD: Final = """
## Sign-in with a token

With `oauth` or `token` in fleet.toml, an access token is exchanged before the log-in. A poll that
fails there has read nothing, and its appliance is unknown.

* *access token*: the answer of the identity provider. *exchange*: that of the appliance.

| route | answer | poll | sentence |
| --- | --- | --- | --- |
"""

_DECISIVE: Final = {"access_token", "state", "version"}
"""Fields without which a record says nothing."""


def bodies(route: str) -> Iterator[tuple[str, bytes]]:
    """Yield the odd bodies of a route, by name."""
    usual = WrittenAppliance("usual").usual_answers()
    [good] = [body for request, (_, body) in usual.items() if request == route]
    yield "null", b"null"
    yield "wrong type", b"7" if good[:1] in (b"[", b'"') else b"[7]"
    value = json.loads(good)
    if isinstance(value, dict):
        yield "missing field", json.dumps(_drop_field(value)).encode()
        yield "text instead of number", json.dumps(_retype_number(value)).encode()
    yield "truncated", good[: len(good) // 2]
    yield "HTML", b"<html><title>Sign in</title></html>"


def _drop_field(value: dict[str, Any]) -> dict[str, Any]:
    """Drop what decides: the state of the newest job, or the hour of the schedule."""
    if "default" in value:
        plan = value["default"]
        return {"default": plan | {"recurrence_info": {"minute": 0}}}
    if NEWEST in value:
        newest = {name: item for name, item in value[NEWEST].items() if name != "status"}
        return value | {NEWEST: newest}
    return {name: item for name, item in value.items() if name not in _DECISIVE}


def _retype_number(value: dict[str, Any]) -> dict[str, Any]:
    """Write the numbers of an answer as text."""
    retyped: dict[str, Any] = json.loads(
        json.dumps(value),
        object_hook=lambda one: {key: _as_text(item) for key, item in one.items()},
    )
    return retyped


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def odd_appliances() -> Iterator[tuple[str, str, WrittenAppliance]]:
    """Yield route, answer and appliance of each row of the table."""
    details = {name: job for name, job in nightly_jobs(4).items() if name != NEWEST}
    without_newest = json.dumps(details).encode()
    for route, request in {**ROUTES, "job": job_route(NEWEST)}.items():
        base = WrittenAppliance("")
        if route == "job":
            base = with_answer(base, ROUTES["details"], 200, without_newest)
        for answer, status, body in odd_answers(request):
            yield route, answer, with_answer(base, request, status, body)


def odd_answers(request: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, status and body of each odd answer to a request."""
    for status in (404, 500, 503):
        yield f"{status}", status, b""
    for kind, status in ERROR_TYPES.items():
        message = {"id": "x", "default_message": "It did not work.", "args": []}
        body = json.dumps({"error_type": kind, "messages": [message]}).encode()
        yield f"{kind} ({status})", status, body
    for name, body in bodies(request):
        yield name, 200, body


def build_page() -> str:
    """Collect from all of these appliances, and return the page."""
    rows = list(odd_appliances())
    appliances = [replace(one, name=f"vc-{number}") for number, (_, _, one) in enumerate(rows)]
    os.environ["VCSA_PASSWORD"] = PASSWORD
    with tempfile.TemporaryDirectory() as folder, _quiet():
        with serve(appliances, Path(folder)) as fleet:
            snapshot = bk.collect(bk.Fleet.load(fleet), limits=PATIENT, progress=False, clock=epoch)
            policy = bk.Policy.load(fleet)
        assessment = bk.evaluate(snapshot, policy, last="1d", now=EPOCH)
    lines = [
        _format_row(route, answer, one.name, snapshot, assessment)
        for (route, answer, _), one in zip(rows, appliances, strict=True)
    ]
    return (
        _HEAD
        + "\n".join(lines)
        + "\n"
        + _NODES_HEAD
        + "\n".join([*_list_nodes_rows(), _SIGN_IN_HEAD.rstrip("\n"), *_list_sign_in_rows(), ""])
    )


def _list_nodes_rows() -> list[str]:
    """Discover the nodes of appliances with an odd list, and return the rows of the table."""
    answers = [*odd_answers(NODES), ("without a node", 200, b'[{"type": "VCSA_EMBEDDED"}]')]
    appliances = [
        with_answer(WrittenAppliance(f"vc-{number}"), NODES, status, body)
        for number, (_, status, body) in enumerate(answers)
    ]
    with tempfile.TemporaryDirectory() as folder, _quiet(), serve(appliances, Path(folder)) as path:
        fleet = bk.Fleet.load(path)
        unread = discover(fleet, limits=PATIENT).unread
        checks = bk.doctor(fleet, limits=PATIENT, progress=False)
    results = checks[checks["check"] == "SSO domain"].set_index("appliance")["result"]
    return [
        f"| {answer} | {results[one.name]} | {unread[one.name].replace('|', chr(92) + '|')} |"
        for (answer, _, _), one in zip(answers, appliances, strict=True)
    ]


def _list_sign_in_rows() -> list[str]:
    """Collect from appliances with an odd exchange or provider, and return the rows."""
    oauth_errors = [
        (f"{code} ({status})", status, json.dumps({"error": code}).encode())
        for code, status in (("invalid_client", 401), ("invalid_grant", 400), ("x y", 400))
    ]
    # a provider sends no errors of the API
    of_provider = [(f"{status}", status, b"") for status in (302, 400, 401, 403, 404, 429, 500)]
    of_provider += [*oauth_errors, *((name, 200, body) for name, body in bodies(TOKEN))]
    answers = [(TOKEN, *one) for one in of_provider]
    answers += [(EXCHANGE, *one) for one in (*odd_answers(EXCHANGE), *oauth_errors)]
    written = [
        with_answer(WrittenAppliance(f"vc-{number}"), route, status, body)
        for number, (route, _, status, body) in enumerate(answers)
    ]
    os.environ["VCSA_TOKEN"] = "0123456789abcdef"
    source = bk.PasswordSource("env", "VCSA_TOKEN")
    with tempfile.TemporaryDirectory() as folder, _quiet(), serve(written, Path(folder)) as path:
        appliances = [
            replace(
                one,
                login="oauth",
                password=source,
                provider=bk.IdentityProvider(
                    url=f"https://{one.host}/token", client="backupkit", ca_bundle=one.ca_bundle
                ),
            )
            for one in bk.Fleet.load(path)
        ]
        polls = bk.collect(appliances, limits=PATIENT, progress=False, clock=epoch).polls
    rows = []
    for (route, answer, _, _), one, error, detail in zip(
        answers, appliances, polls["error"].fillna("ok"), polls["detail"].fillna(""), strict=True
    ):
        name = "access token" if route == TOKEN else "exchange"
        sentence = detail.replace(one.host, "idp.example.com").replace("|", "\\|")
        rows.append(f"| {name} | {answer} | {error} | {sentence} |")
    return rows


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _format_row(
    route: str, answer: str, name: str, snapshot: Snapshot, assessment: bk.Assessment
) -> str:
    frames = (snapshot.observations, snapshot.polls, snapshot.schedules, snapshot.errors)
    observations, polls, schedules, errors = (frame[frame["appliance"] == name] for frame in frames)
    own = Snapshot(observations, polls, schedules, errors)
    [poll] = own.polls.to_dict("records")
    jobs = own.jobs.set_index("job_id")["status"].fillna("unread").to_dict()
    slots = assessment.slots[assessment.slots["appliance"] == name]
    row = assessment.appliances.loc[name]
    sentence = next(
        (text for text in (*own.errors["detail"], row["reason"]) if isinstance(text, str)), ""
    )
    cells = (
        route,
        answer,
        poll["error"] if isinstance(poll["error"], str) else "ok",
        jobs.get(NEWEST, "-"),
        ", ".join(slots["state"]) or "-",
        row["state"],
        exit_code(own),
        sentence.replace("|", "\\|"),
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    PAGE.write_text(build_page())
