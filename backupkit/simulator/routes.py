"""Routes of the simulated API, and the operation of each."""

import base64
import dataclasses
import re
import urllib.parse
from collections.abc import Callable
from typing import NoReturn

import msgspec

from backupkit.simulator import payloads
from backupkit.simulator.appliance import BusyError, SimulatedAppliance, TooManySessionsError
from backupkit.simulator.identity import oauth_error, read_exchange
from backupkit.simulator.model import Job, Message, Release
from backupkit.simulator.wire import (
    FaultError,
    Flavour,
    Map,
    Reply,
    Request,
    error_reply,
    not_found_reply,
    proxy_error_reply,
    success_reply,
)

TOKEN = "vmware-api-session-id"  # noqa: S105  # a header's name
HEADER_ONLY = "vmware-use-header-authn"
LEGACY_SESSION = "/com/vmware/cis/session"
BACKUP = "/appliance/recovery/backup"
LOCATION_TYPES = frozenset({"FTP", "FTPS", "HTTP", "HTTPS", "NFS", "SCP", "SFTP", "SMB"})


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """Request with a matching route."""

    appliance: SimulatedAppliance
    flavour: Flavour
    request: Request
    token: str = ""
    id: str = ""  # the variable part of the path

    def content(self) -> payloads.Object:
        """Return the JSON object in the body; the legacy flavour wraps it once more."""
        if not self.request.body:
            return {}
        try:
            return msgspec.json.decode(self.request.body, type=payloads.Object)
        except msgspec.DecodeError as error:
            text = f"The body is no JSON object: {error}"
            raise FaultError(
                400, "INVALID_REQUEST", Message("sample.request.invalid", text)
            ) from error


Operation = Callable[[Call], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Address of one operation in one flavour."""

    flavour: Flavour
    method: str
    path: str  # below the flavour's root; `{id}` stands for one segment
    operation: Operation
    status: int = 200
    action: str | None = None  # required value of `action` or `~action` in the query
    since: tuple[int, ...] = (6, 5)
    public: bool = False  # needs no session

    def serves(self, release: Release) -> bool:
        """Return whether a release has this route."""
        return release.number >= self.since and (self.flavour == "rest" or release.has_api)


def respond(appliance: SimulatedAppliance, request: Request) -> Reply:
    """Return the reply to a request; an unknown address gives 404 even without a session."""
    if appliance.html:
        return proxy_error_reply()
    flavour = request.flavour
    if flavour == "rest" and not appliance.spec.legacy:
        return not_found_reply("api", appliance.release)
    action = next(
        (request.query[key][0] for key in ("action", "~action") if key in request.query), None
    )
    for route, pattern in _TABLE:
        if (
            (route.flavour, route.method, route.action) == (flavour, request.method, action)
            and (matched := pattern.fullmatch(request.path)) is not None
            and route.serves(appliance.release)
        ):
            identifier = urllib.parse.unquote(matched.groupdict().get("id", ""))
            return _answer(route, Call(appliance, flavour, request, id=identifier))
    return not_found_reply(flavour, appliance.release)


def _answer(route: Route, call: Call) -> Reply:
    appliance = call.appliance
    try:
        if not route.public:
            call = dataclasses.replace(call, token=_token(call))
        if appliance.revoked and route.path.startswith("/appliance/"):
            raise unauthorized()
        result = route.operation(call)
        if isinstance(result, Reply):
            return result
        return success_reply(call.flavour, route.status, result)
    except FaultError as fault:
        return error_reply(call.flavour, appliance.release, fault)


def _refuse(status: int, kind: str, identifier: str, text: str, *args: str) -> NoReturn:
    raise FaultError(status, kind, Message(identifier, text.format(*args), args))


def _unauthenticated(appliance: SimulatedAppliance) -> FaultError:
    source = Message(
        "com.vmware.vapi.endpoint.method.authentication.required", "Authentication required."
    )
    return FaultError(401, "UNAUTHENTICATED", source, challenge=payloads.challenge(appliance.name))


def unauthorized() -> FaultError:
    """Return the error for a user without the required permission."""
    text = "Permission to perform this operation was denied."
    source = Message("com.vmware.vapi.endpoint.method.not.authorized", text)
    return FaultError(403, "UNAUTHORIZED", source)


def job_not_found(identifier: str) -> FaultError:
    """Return the error for a job that does not exist."""
    text = f"Backup job {identifier} does not exist."
    source = Message("sample.backup.job.not_found", text, (identifier,))
    return FaultError(404, "NOT_FOUND", source)


def too_many_sessions(limit: int, user: str) -> FaultError:
    """Return the error for a login beyond the session limit."""
    text = (
        f"User session count is limited to {limit}. "
        f"Existing session count is {limit} for user {user}"
    )
    identifier = "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached"
    source = Message(identifier, text, (str(limit), str(limit), user))
    return FaultError(503, "SERVICE_UNAVAILABLE", source)


def get_token(request: Request) -> str | None:
    """Return the token of a request, from its header or its cookie."""
    headers = request.headers
    token = headers.get(TOKEN)
    if token is None and headers.get(HEADER_ONLY) != "true":
        pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        token = next((value for name, _, value in pairs if name == TOKEN), None)
    return token


def _token(call: Call) -> str:
    """Return the token of the caller's open session."""
    token = get_token(call.request)
    if token is None or call.appliance.sessions.touch(token) is None:
        raise _unauthenticated(call.appliance)
    return token


def _authenticate(
    appliance: SimulatedAppliance, authorization: str, flavour: Flavour
) -> str | None:
    """Return the user of a password or a SAML token; None if it is not valid."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme == "SIGN":
        accepts = appliance.release.has_api and flavour == "api"
        return appliance.saml_tokens.find_user(encoded) if accepts else None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # neither base 64 nor UTF-8
        return None
    valid = (user.lower(), password) == (appliance.user.lower(), appliance.password)
    return user if scheme.lower() == "basic" and valid and not appliance.refuses_passwords else None


def _exchange(call: Call) -> object:
    """Exchange an access token for a SAML token."""
    appliance, request = call.appliance, call.request
    fields, problem = read_exchange(request)
    if problem:
        return oauth_error(400, "invalid_request", problem)
    token = fields["subject_token"]
    if request.headers.get("authorization") != f"Bearer {token}":
        raise _unauthenticated(appliance)
    provider = appliance.provider
    if provider is None:
        raise unauthorized()
    client = provider.find_client(token)
    if client is None:
        return oauth_error(400, "invalid_grant", "The access token is invalid or has expired.")
    return success_reply("api", 200, appliance.saml_tokens.issue(client))


def _log_in(call: Call) -> Reply:
    appliance, headers = call.appliance, call.request.headers
    user = _authenticate(appliance, headers.get("authorization", ""), call.flavour)
    if user is None:
        raise _unauthenticated(appliance)
    try:
        token = appliance.sessions.create(user)
    except TooManySessionsError as error:
        raise too_many_sessions(appliance.sessions.limit, user) from error
    if call.flavour == "api":
        return success_reply(call.flavour, 201, token)
    reply = success_reply(call.flavour, 200, token)
    if headers.get(HEADER_ONLY) != "true":
        cookie = ("Set-Cookie", f"{TOKEN}={token};Path=/rest;Secure;HttpOnly")
        return dataclasses.replace(reply, headers=(*reply.headers, cookie))
    return reply


def _session(call: Call) -> object:
    session = call.appliance.sessions.touch(call.token)
    if session is None:  # it ended meanwhile
        raise _unauthenticated(call.appliance)
    return {
        "user": session.user,
        "created_time": payloads.instant(session.created),
        "last_accessed_time": payloads.instant(session.used),
    }


def _log_out(call: Call) -> None:
    call.appliance.sessions.end(call.token)


def _job(call: Call) -> object:
    job = call.appliance.job(call.id)
    if job is None:
        raise job_not_found(call.id)
    return payloads.job_status(job, call.appliance.now())


def _details(call: Call) -> object:
    numbered = re.compile(r"jobs" if call.flavour == "api" else r"filter\.jobs(\.\d+)?")
    wanted = {
        identifier
        for key, values in call.request.query.items()
        if numbered.fullmatch(key)
        for identifier in values
    }
    return Map(call.appliance.details(wanted or None))


def _create(call: Call) -> object:
    content = call.content()
    wanted = content.get("piece") if call.flavour == "rest" else content
    if not isinstance(wanted, dict):
        wanted = {}
    for field in ("parts", "location_type", "location"):
        if not wanted.get(field):
            text = "Missing value of required field {0}."
            _refuse(400, "INVALID_ARGUMENT", "sample.request.missing_field", text, field)
    if wanted["location_type"] not in LOCATION_TYPES:
        text = "Location type {0} is not supported."
        kind = str(wanted["location_type"])
        _refuse(400, "INVALID_ARGUMENT", "sample.backup.location_type", text, kind)
    return _start_backup(call, str(wanted.get("comment") or ""))


def _start_backup(call: Call, comment: str) -> payloads.Object:
    try:
        job: Job = call.appliance.create(comment)
    except BusyError:
        text = "A backup or restore is already in progress."
        _refuse(400, "FEATURE_IN_USE", "sample.backup.in_use", text)
    return payloads.job_status(job, call.appliance.now())


def _cancel(call: Call) -> object:
    cancelled = call.appliance.cancel(call.id)
    if cancelled is None:
        raise job_not_found(call.id)
    if cancelled:
        return {"status": "OK", "messages": []}
    source = Message("sample.backup.not_running", f"Backup job {call.id} has ended.", (call.id,))
    return {"status": "FAIL", "messages": [payloads.message(source)]}


def _part(call: Call) -> object:
    if call.id not in payloads.PARTS:
        text = "Backup part {0} does not exist."
        _refuse(404, "NOT_FOUND", "sample.backup.part.not_found", text, call.id)
    return payloads.PARTS[call.id][1]


def _schedule(call: Call) -> object:
    schedules = call.appliance.schedules()
    if call.id not in schedules:
        text = "Backup schedule {0} does not exist."
        _refuse(404, "NOT_FOUND", "sample.backup.schedule.not_found", text, call.id)
    return schedules[call.id]


def _run_schedule(call: Call) -> object:
    _schedule(call)
    return _start_backup(call, str(call.content().get("comment") or ""))


def _job_ids(call: Call) -> object:
    return [job.id for job in reversed(call.appliance.jobs())]


def _both_flavours(
    method: str,
    path: str,
    operation: Operation,
    *,
    action: str | None = None,
    since: tuple[int, ...] = (6, 5),
) -> tuple[Route, Route]:
    """Return the routes of an operation that has the same path in both flavours."""
    return (
        Route("api", method, path, operation, action=action, since=since),
        Route("rest", method, path, operation, action=action, since=since),
    )


ROUTES = (
    Route("api", "POST", "/session", _log_in, public=True),
    Route(
        "api",
        "POST",
        "/vcenter/authentication/token",
        _exchange,
        since=(7, 0, 2),
        public=True,
    ),
    Route("api", "GET", "/session", _session),
    Route("api", "DELETE", "/session", _log_out, status=204),
    Route("rest", "POST", LEGACY_SESSION, _log_in, public=True),
    Route("rest", "POST", LEGACY_SESSION, _session, action="get"),
    Route("rest", "DELETE", LEGACY_SESSION, _log_out),
    *_both_flavours(
        "GET", "/appliance/system/version", lambda call: payloads.version(call.appliance.spec)
    ),
    *_both_flavours("GET", "/appliance/system/time/timezone", lambda call: call.appliance.timezone),
    *_both_flavours(
        "GET", "/vcenter/topology/nodes", lambda call: call.appliance.domain.nodes(), since=(6, 7)
    ),
    *_both_flavours("GET", "/appliance/recovery", lambda _call: {"supported": True}, since=(6, 7)),
    *_both_flavours("GET", f"{BACKUP}/job", _job_ids),
    # must precede job/{id}
    *_both_flavours("GET", f"{BACKUP}/job/details", _details, since=(6, 7)),
    *_both_flavours("GET", f"{BACKUP}/job/{{id}}", _job),
    Route("api", "POST", f"{BACKUP}/job", _create, status=201),
    Route("rest", "POST", f"{BACKUP}/job", _create),
    Route("api", "POST", f"{BACKUP}/job/{{id}}", _cancel, action="cancel"),
    Route("rest", "POST", f"{BACKUP}/job/{{id}}/cancel", _cancel),
    *_both_flavours("GET", f"{BACKUP}/parts", lambda _call: payloads.parts()),
    *_both_flavours("GET", f"{BACKUP}/parts/{{id}}", _part),
    *_both_flavours(
        "GET", f"{BACKUP}/schedules", lambda call: Map(call.appliance.schedules()), since=(6, 7)
    ),
    *_both_flavours("GET", f"{BACKUP}/schedules/{{id}}", _schedule, since=(6, 7)),
    *_both_flavours(
        "POST", f"{BACKUP}/schedules/{{id}}", _run_schedule, action="run", since=(6, 7)
    ),
)
_TABLE = tuple(
    (route, re.compile(f"/{route.flavour}{route.path.replace('{id}', '(?P<id>[^/]+)')}"))
    for route in ROUTES
)
