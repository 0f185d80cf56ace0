"""
Bootstrap: one attempt to find a way into the network.

The contacts: those found on the local network while the attempt runs, in turn with the saved and configured
ones, so that no host that answers without end keeps the others out; and the addresses of those by name, as
they come. They are dialled
C{DIAL_STAGGER_SECONDS} apart, several at once, until the layer above is content with a link and ends the
attempt; or until nothing is left to try, or C{BOOTSTRAP_TIMEOUT_SECONDS} has passed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...endpoints import Contact, Endpoint
from ...errors import CloseReason, LimitReached, LinkClosed
from ...limits import BOOTSTRAP_TIMEOUT_SECONDS, DIAL_STAGGER_SECONDS
from ..interfaces import ILink
from .race import DialFailed

LAN_HEAD_START_SECONDS: Final = 0.05
"""Seconds that the local network has to answer before the first saved contact is dialled."""
LAN_WAIT_SECONDS: Final = 1.0
"""Seconds from the start during which an answer from the local network is hoped for."""

_MAX_TOLD: Final = 3
# any host of the local network can answer, as often as it likes
_MAX_FOUND: Final = 32


def order_contacts(
    saved: Sequence[Contact],
    configured: Sequence[Contact],
    first_saved: int,
    tried: Collection[Endpoint],
    is_last: Callable[[Contact], bool],
) -> tuple[Contact, ...]:
    """
    In which order contacts are dialled: saved, then configured, each endpoint once.

    @param saved: the best first.
    @param first_saved: how many of the saved ones go before the configured ones; the others come last, so
        that old ones that do not answer cannot keep the configured ones out of the attempt.
    @param tried: where attempts that found no way in have dialled: other saved contacts go first.
    @param is_last: whether a contact has led nowhere, so that it comes after all others.
    """
    first = [each for each in saved[:first_saved] if each.endpoint not in tried]
    rest = sorted(saved, key=lambda each: each.endpoint in tried)
    chosen: dict[Endpoint, Contact] = {}
    for each in (*first, *configured, *rest):
        chosen.setdefault(each.endpoint, each)
    return tuple(sorted(chosen.values(), key=is_last))


class BootstrapAttempt:
    """
    One attempt. Made and discarded by L{CrustService<routing_crust.crust.service.CrustService>}, which
    tells it of the links that come and go.
    """

    def __init__(
        self,
        clock: IReactorTime,
        contacts: Iterable[Contact],
        lan: bool,
        dial: Callable[[Contact], Deferred[ILink]],
        finished: Callable[[int, str], None],
    ) -> None:
        """
        @param lan: whether contacts may be L{found} on the local network.
        @param dial: dials a contact; as C{Dialler.dial_contact}.
        @param finished: called once, with how many links of the attempt are alive and what went wrong. It
            may be called from within every method, L{start} included.
        """
        self._clock = clock
        self._dial = dial
        self._finished = finished
        self._waiting = deque(contacts)
        self._tried: set[Endpoint] = set()
        self._found: deque[Contact] = deque()
        self._hosts_found: Counter[str] = Counter()
        self._found_last = False
        self._added_last = 0
        self._dials: dict[Endpoint, Deferred[ILink]] = {}
        self._links: dict[ILink, None] = {}
        self._unresolved = 0
        self._problems: list[str] = []
        self._lan = lan
        self._started = self._over = False
        self._timers: dict[str, IDelayedCall] = {}

    def start(self) -> None:
        """Dial the first contact, after a head start for nodes on the local network."""
        self._started = True
        self._set_timer("end", BOOTSTRAP_TIMEOUT_SECONDS, self._too_late)
        if self._lan:
            self._set_timer("lan", LAN_WAIT_SECONDS, self._see_whether_over)
            self._set_timer("next", min(LAN_HEAD_START_SECONDS, DIAL_STAGGER_SECONDS), self._next)
        else:
            self._next()

    def found(self, contact: Contact, last: bool = False) -> None:
        """
        A node answered on the local network: dial it next.

        @param last: whether its host has led nowhere before, so that all others have their turn first.
        """
        queue = self._waiting if last else self._found
        if self._over or contact.endpoint in self._tried:
            return
        if all(contact.endpoint != each.endpoint for each in queue):
            if not last:
                self._keep(contact)
            elif self._added_last < _MAX_FOUND:
                self._added_last += 1
                self._waiting.append(contact)
        if "next" not in self._timers:
            self._set_timer("next", DIAL_STAGGER_SECONDS if self._dials else 0, self._next)

    def expect(self, names: int) -> None:
        """This number of contacts by name is being resolved: L{resolved_all} is called for each."""
        self._unresolved += names

    def resolved(self, contacts: Iterable[Contact]) -> None:
        """Addresses of a contact by name have come: dial them in turn with the others."""
        new = [each for each in contacts if each.endpoint not in self._tried]
        if self._over or not new:
            return
        pairs = zip_longest(new, self._waiting)
        self._waiting = deque(each for pair in pairs for each in pair if each is not None)
        if self._started and "next" not in self._timers:
            self._set_timer("next", DIAL_STAGGER_SECONDS if self._dials else 0, self._next)

    def resolved_all(self, problem: str) -> None:
        """A contact by name has no more addresses; C{problem} says why it has none, if that is so."""
        self._unresolved -= 1
        if problem:
            self._problems.insert(0, problem)
        if self._started:
            self._see_whether_over()

    def _keep(self, contact: Contact) -> None:
        """Keep a contact that was found; when there is no room, the host with most contacts makes some."""
        hosts = Counter(each.endpoint.host for each in self._found)
        if len(self._found) >= _MAX_FOUND:
            crowded, most = hosts.most_common(1)[0]
            if hosts[contact.endpoint.host] >= most - 1:
                return
            theirs = [each for each in self._found if each.endpoint.host == crowded]
            self._found.remove(theirs[-1])
        self._found.append(contact)

    def link_up(self, link: ILink) -> None:
        """One of the attempt's links is up."""
        self._links[link] = None

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone; one that is not the attempt's makes no difference."""
        if link in self._links:
            del self._links[link]
            self._problems.append(f"{link.connection.peer}: {reason}")
            self._see_whether_over()

    def end(self, winner: ILink | None, problem: str = "") -> None:
        """Dial no more, and close the attempt's links but the winner."""
        if self._over:
            return
        losers = [each for each in self._links if each is not winner]
        for each in losers:
            del self._links[each]
        self._finish(problem)
        for each in losers:
            each.close(CloseReason.NO_LONGER_NEEDED)

    def _set_timer(self, which: str, delay: float, call: Callable[[], None]) -> None:
        def run() -> None:
            del self._timers[which]
            call()

        self._timers[which] = self._clock.callLater(delay, run)

    def _next(self) -> None:
        while not self._over and (contact := self._choose()) is not None:
            endpoint = contact.endpoint
            try:
                dial = self._dial(contact)
            except LimitReached:
                # The dials that are in the way have their time limit, and so has this attempt.
                self._set_timer("next", DIAL_STAGGER_SECONDS, self._next)
                return
            except DialFailed as problem:
                self._tried.add(endpoint)
                self._problems.append(f"{endpoint}: {problem}")
                continue
            self._tried.add(endpoint)
            self._found_last = contact in self._found
            self._hosts_found[endpoint.host] += self._found_last
            self._dials[endpoint] = dial
            # Before the callbacks: a dial that fails at once brings it forward.
            self._set_timer("next", DIAL_STAGGER_SECONDS, self._next)
            dial.addCallbacks(self._dialled, self._failed, callbackArgs=(endpoint,), errbackArgs=(endpoint,))
            return
        self._see_whether_over()

    def _choose(self) -> Contact | None:
        """The contact to be dialled next; it stays in its queue until it has been tried."""
        self._found = deque(each for each in self._found if each.endpoint not in self._tried)
        while self._waiting and self._waiting[0].endpoint in self._tried:
            self._waiting.popleft()
        if not self._found or (self._waiting and self._found_last):
            return self._waiting[0] if self._waiting else None
        return min(self._found, key=lambda each: self._hosts_found[each.endpoint.host])

    def _dialled(self, link: ILink, endpoint: Endpoint) -> None:
        self._dials.pop(endpoint, None)
        self._see_whether_over()  # the link may be gone already

    def _failed(self, failure: Failure, endpoint: Endpoint) -> None:
        if self._over:
            failure.trap(DialFailed, CancelledError)
            return
        failure.trap(DialFailed)
        del self._dials[endpoint]
        self._problems.append(f"{endpoint}: {failure.value}")
        if (self._found or self._waiting) and "next" in self._timers:
            self._timers.pop("next").cancel()
            self._set_timer("next", 0, self._next)
        else:
            self._see_whether_over()

    def _too_late(self) -> None:
        self._finish(f"nobody let us in within {BOOTSTRAP_TIMEOUT_SECONDS:g} s")

    def _see_whether_over(self) -> None:
        busy = self._found or self._waiting or self._dials or self._links or self._unresolved
        busy = busy or "lan" in self._timers
        if not busy and not self._over:
            self._finish(self._summary())

    def _summary(self) -> str:
        if not self._tried and not self._problems:
            where = "nobody answered on the local network and " if self._lan else ""
            return f"{where}there is no contact to dial (the setting contacts names some)"
        told = "; ".join(self._problems[:_MAX_TOLD])
        more = len(self._problems) - _MAX_TOLD
        return f"no contact let us in ({told}{f'; and {more} more' if more > 0 else ''})"

    def _finish(self, problem: str) -> None:
        # first, since dials that are cancelled fail at once and must find the attempt over
        self._over = True
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            timer.cancel()
        dials, self._dials = self._dials, {}
        for dial in dials.values():
            dial.cancel()
        self._finished(len(self._links), problem)
