"""A channel that does what a test says."""

import json
from dataclasses import dataclass, field
from typing import Any

from backupkit.alerts.messages import Digest
from backupkit.errors import DeliveryError


class CrashError(BaseException):
    """The process dies; no code of backupkit catches it."""


@dataclass
class ScriptedChannel:
    """A channel that delivers, fails or dies, as a test sets it."""

    name: str = "ops"
    mode: str = "works"
    delivered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changes(self) -> list[list[str]]:
        """The changes of each delivered message: change and key."""
        return [
            [f"{one['change']} {one['key']}" for one in document["changes"]]
            for document in self.delivered
        ]

    def send(self, digest: Digest) -> None:
        """Deliver a digest, or do not."""
        if self.mode == "dies before":
            raise CrashError
        if self.mode == "fails":
            raise DeliveryError("the service is down", advice="Start it.", subject=self.name)
        self.delivered.append(json.loads(digest.body))
        if self.mode == "dies after":
            raise CrashError
        if self.mode == "hangs up":
            raise DeliveryError("no response", subject=self.name, delivery="perhaps")
