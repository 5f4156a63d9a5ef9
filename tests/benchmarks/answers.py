"""The responses of a steady simulated fleet, made once, as bytes on the wire."""

import base64
from datetime import UTC, datetime
from http import HTTPStatus

from backupkit.simulator import Scenario, SimulatedAppliance
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

__all__ = ["BACKUP", "Answers", "steady_answers"]

BACKUP = "appliance/recovery/backup"


class Answers:
    """The responses of one appliance, each made at the first request and cached.

    Parameters
    ----------
    appliance : SimulatedAppliance
        With a clock that stands still, so that a response never changes.
    """

    def __init__(self, appliance: SimulatedAppliance) -> None:
        self.appliance = appliance
        self._made: dict[bytes, bytes] = {}
        basic = base64.b64encode(f"{appliance.user}:{appliance.password}".encode())
        self._authorization = f"Basic {basic.decode()}"

    def body(self, path: str) -> bytes:
        """Return the body of the response to a GET."""
        reply = self._reply("GET", path)
        assert reply.status == HTTPStatus.OK, (path, reply)
        return reply.body

    def response(self, line: bytes) -> bytes:
        """Return the response to a request line, with its header."""
        try:
            return self._made[line]
        except KeyError:
            method, target, _ = line.decode("ascii").split(" ")
            return self._made.setdefault(line, _encoded(self._reply(method, target)))

    def make_each(self) -> None:
        """Make the responses to job/{id} now, in each flavour."""
        flavours = ("rest", "api") if self.appliance.release.has_api else ("rest",)
        for job in self.appliance.jobs():
            for flavour in flavours:
                self.response(f"GET /{flavour}/{BACKUP}/job/{job.id} HTTP/1.1".encode())

    def _reply(self, method: str, target: str) -> Reply:
        sessions = self.appliance.sessions
        token = sessions.create(self.appliance.user)
        headers = {
            "authorization": self._authorization,
            "vmware-api-session-id": token,
            "vmware-use-header-authn": "true",
        }
        try:
            return respond(self.appliance, Request(method=method, target=target, headers=headers))
        finally:
            sessions.end(token)


def steady_answers(appliances: int, jobs: int) -> list[Answers]:
    """Return the responses of a steady fleet whose clocks stand still now."""
    now = datetime.now(UTC)
    scenario = Scenario.steady(appliances=appliances, jobs=jobs, epoch=now)
    return [
        Answers(SimulatedAppliance(spec, scenario, clock=lambda: now)) for spec in scenario.specs
    ]


def _encoded(reply: Reply) -> bytes:
    status = HTTPStatus(reply.status)
    head = [f"HTTP/1.1 {status.value} {status.phrase}"]
    head += [f"{name}: {value}" for name, value in reply.headers]
    if status is not HTTPStatus.NO_CONTENT:
        head.append(f"Content-Length: {len(reply.body)}")
    return "\r\n".join([*head, "", ""]).encode() + reply.body
