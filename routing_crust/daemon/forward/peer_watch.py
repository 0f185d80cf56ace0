"""
Looks for the peer of a forwarded port before a program uses it, so that the operator hears at once how that
goes.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...errors import RoutingCrustError, ServiceStopped, problem_text
from ...names import Name
from ...routing.reporting.explain import Explanation
from ...routing.service import RoutingService
from ...timing.backoff import Backoff
from ...timing.timers import cancel
from .reports import Reports

TELL_SECONDS: Final = 1.5
"""How long a peer is looked for before a line says so."""
FIRST_RETRY_SECONDS: Final = 2.0
MAX_RETRY_SECONDS: Final = 60.0
MAX_TRIED: Final = 4
"""Addresses in a line."""
MAX_PROBLEMS: Final = 16
"""Problems that are remembered, so that each is told once."""


class PeerWatch:
    """Made for a command in the foreground. It ends with the first link, and with L{stop}."""

    def __init__(self, service: RoutingService, peer: Name, reports: Reports) -> None:
        self._service = service
        self._peer = peer
        self._reports = reports
        self._looking: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._backoff = Backoff(FIRST_RETRY_SECONDS, 1.5, MAX_RETRY_SECONDS)
        self._said: BoundedDict[str, None] = BoundedDict(MAX_PROBLEMS)
        self._stopped = False

    def start(self) -> None:
        """Look for the peer."""
        self._timer = self._service.clock.callLater(TELL_SECONDS, self._tell_what_was_tried)
        looking = self._service.borrow(self._peer, patient=True)
        self._looking = looking.addCallbacks(self._found, self._not_found)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        cancel(self._timer)
        if self._looking is not None:
            self._looking.cancel()

    def _found(self, link: ILink) -> None:
        cancel(self._timer)
        # it stays for a while without a use, and streams borrow it again
        self._service.give_back(self._peer)
        self._reports.connected(self._peer)

    def _not_found(self, failure: Failure) -> None:
        cancel(self._timer)
        if self._stopped or failure.check(ServiceStopped):
            return
        failure.trap(RoutingCrustError)
        self._tell(problem_text(failure.value))
        self._timer = self._service.clock.callLater(self._backoff.next_wait(), self.start)

    def _tell_what_was_tried(self) -> None:
        if self._service.bootstrapped:
            self._tell(f"no link yet: {tried_text(self._service.explain(self._peer))}")
        else:
            self._tell("no link yet: this node has no way into the network so far")

    def _tell(self, problem: str) -> None:
        # each once, since they come again with every attempt
        if problem not in self._said:
            self._said[problem] = None
            self._reports.add(self._peer, "unreached", f"{problem}; it goes on trying")


def tried_text(explanation: Explanation) -> str:
    """What was tried to reach a peer, in a few words."""
    # of each address the last outcome
    tried = {each.where: each.outcome for each in explanation.attempts if each.where and not each.good}
    if tried:
        return "tried " + "; ".join([": ".join(each) for each in tried.items()][-MAX_TRIED:])
    where = [each.endpoint for each in explanation.candidates][:MAX_TRIED]
    if where:
        return f"no answer so far from {', '.join(where)}"
    return "it was asked for by name, and no address of it is known"
