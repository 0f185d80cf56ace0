"""
What name servers are asked, and what they answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred

from ...errors import RoutingCrustError


class RecordKind(Enum):
    """A kind of record of the domain name system."""

    A = "A"
    AAAA = "AAAA"
    SRV = "SRV"
    TXT = "TXT"


class NotResolved(RoutingCrustError):
    """A name could not be resolved; the text names the name, and the server that was asked."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    One record of an answer.

    @ivar text: the address, the host name that an SRV record leads to, or the text of a TXT record.
    @ivar port: of an SRV record.
    @ivar priority: of an SRV record; those with the least are dialled first.
    @ivar weight: of an SRV record: of the same priority, the heavier ones more likely come first.
    """

    text: str
    port: int = 0
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a server has answered.

    @ivar server: which, in words.
    @ivar records: those of the kind that was asked for; none if the name has none.
    """

    server: str
    records: tuple[Record, ...]


class NameServers(Protocol):
    """Resolves names; L{Dns<routing_crust.crust.resolving.dns.Dns>}, in production."""

    def ask(self, name: str, kind: RecordKind) -> Deferred[Answer]:
        """
        Ask for the records of a name.

        @return: fails with L{NotResolved}, within a bounded time; can be cancelled.
        """

    def stop(self) -> Deferred[None]:
        """Call off all questions; fires when nothing is left of them."""
