"""What a steady simulated fleet answers, made once, as the bytes that go over the wire."""

import base64
from datetime import UTC, datetime
from http import HTTPStatus

from backupkit.simulator import Scenario, SimulatedAppliance
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

__all__ = ["BACKUP", "Answers", "steady_answers"]

BACKUP = "appliance/recovery/backup"


class Answers:
    """All that one appliance answers; each answer is made when it is first asked for, and kept.

    Parameters
    ----------
    appliance : SimulatedAppliance
        Its clock must stand still: an answer never changes.
    """

    def __init__(self, appliance: SimulatedAppliance) -> None:
        self.appliance = appliance
        self._made: dict[bytes, bytes] = {}
        basic = base64.b64encode(f"{appliance.user}:{appliance.password}".encode())
        self._authorization = f"Basic {basic.decode()}"

    def body(self, path: str) -> bytes:
        """Give the body of the answer to a GET."""
        reply = self._reply("GET", path)
        assert reply.status == HTTPStatus.OK, (path, reply)
        return reply.body

    def whole(self, line: bytes) -> bytes:
        """Give the whole answer to a request line."""
        try:
            return self._made[line]
        except KeyError:
            method, target, _ = line.decode("ascii").split(" ")
            return self._made.setdefault(line, _encoded(self._reply(method, target)))

    def make_each(self) -> None:
        """Make the answers to job/{id} now, in each flavour."""
        flavours = ("rest", "api") if self.appliance.release.has_api else ("rest",)
        for job in self.appliance.jobs():
            for flavour in flavours:
                self.whole(f"GET /{flavour}/{BACKUP}/job/{job.id} HTTP/1.1".encode())

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
    """Tell the story of a steady fleet, up to a present at which its clocks stand still."""
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
