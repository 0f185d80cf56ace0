"""
Invariants: what must always hold of a simulated network, each as a check with a name.

Some are looked at once in a simulated second, which is as often as their cost allows; what happens in between
is heard from observers and handlers, at once. What must hold once all faults are over is in
L{routing_crust.testing.play.scenario}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import CloseReason, RoutingCrustError
from ...names import Name
from ...routing.core import RoutingCore
from ...routing.events import LinkLost, Message
from ...routing.membership.client_registry import MAX_CLIENT_RECORDS
from ...routing.service import RoutingService
from ...routing.state import State
from ...timing.timers import cancel
from ..host import SimulatedNode
from ..simulation import SimulatedNetwork

CHECK_EVERY_SECONDS: Final = 1.0
"""Seconds between two looks."""
DISAGREEMENT_SECONDS: Final = 200.0
"""Seconds for which two ends may hold different links to be theirs: a dead link is noticed after 60."""
MAX_LINKS_OF_A_PAIR: Final = 8
"""Two requests that cross make four links; a bootstrap and a restart a few more, for a moment."""


class InvariantBroken(AssertionError, RoutingCrustError):
    """Something that must always hold does not. The text begins with the name of the check."""


class NetworkChecks:
    """A base of what watches a network while it runs, and says what does not hold."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self._broken: list[str] = []

    def _hear(self, check: str, what: str) -> None:
        # raised at the next look: the logger swallows what its observers raise
        self._broken.append(f"{check}: {what}")

    def _raise_what_was_heard(self) -> None:
        if self._broken:
            raise InvariantBroken(f"{self._broken[0]}\n{self._network.report()}")

    def _break(self, check: str, what: str) -> None:
        raise InvariantBroken(f"{check}: {what}\n{self._network.report()}")


class Pending:
    """A Deferred that a node has given out, and until when it must have fired."""

    __slots__ = ("deadline", "fired", "node", "service", "what")

    def __init__(self, node: SimulatedNode, what: str, deadline: float) -> None:
        self.node = node
        self.service = node.service
        self.what = what
        self.deadline = deadline
        self.fired = 0


@implementer(ILogObserver)
class Invariants(NetworkChecks):
    """
    The checks of one network. Made with it, before its nodes are started; L{close} ends it.

    @ivar checks: how often each check has been made, by its name.
    """

    def __init__(self, network: SimulatedNetwork) -> None:
        super().__init__(network)
        self._pending: list[Pending] = []
        self._apart_since: dict[tuple[Name, Name], float] = {}
        self.checks: dict[str, int] = {each.__name__: 0 for each in self._looks()}
        self._timer = network.clock.callLater(CHECK_EVERY_SECONDS, self._tick)
        globalLogPublisher.addObserver(self)

    def close(self) -> None:
        """
        Look no more.

        @raise InvariantBroken: something was heard since the last look.
        """
        self.abandon()
        self._raise_what_was_heard()

    def abandon(self) -> None:
        """Look no more, whatever was heard: the run has failed anyway. Idempotent."""
        globalLogPublisher.removeObserver(self)
        cancel(self._timer)

    def watch(self, service: RoutingService) -> None:
        """Hear from a service, from before its start: for L{SimulatedNetwork.node}'s C{setup}."""

        def lost(event: LinkLost) -> None:
            if event.reason is CloseReason.SUPERSEDED and service.state is not State.TERMINATED:
                here, there = service.node_name.short, event.link.name.short
                self._hear("never_without_a_link", f"{here} lost its link to {there} for a better one")

        def received(message: Message) -> bytes:
            if service.state is State.TERMINATED or not service.running:
                self._hear("nothing_after_the_stop", f"{service.node_name.short} was given a message")
            return message.body

        service.observe(LinkLost, lost)
        service.set_message_handler(received)
        service.set_request_handler(received)

    def expect(self, node: SimulatedNode, deferred: Deferred[Any], what: str, seconds: float) -> Pending:
        """
        A node has given out a Deferred: it must fire, once, within C{seconds}, not counting those in
        which its host sleeps.

        @return: what keeps count of it; it is not looked at any more once the node's process has ended.
        """
        pending = Pending(node, what, self._network.clock.now + seconds)
        self._pending.append(pending)

        def fired(result: object) -> None:
            pending.fired += 1
            if isinstance(result, Failure):
                # any other error is left unhandled: it is logged as critical, and nothing_raises hears it
                result.trap(RoutingCrustError)

        deferred.addBoth(fired)
        return pending

    # The looks.

    def _looks(self) -> tuple[Callable[[], None], ...]:
        return (
            self.every_wait_ends,
            self.the_table_has_live_links,
            self.both_ends_agree,
            self.few_links_of_a_pair,
            self.bounds_are_kept,
        )

    def look(self) -> None:
        """
        Make every check now.

        @raise InvariantBroken: by the first that does not hold.
        """
        for check in self._looks():
            self.checks[check.__name__] += 1
            check()
        self._raise_what_was_heard()

    def every_wait_ends(self) -> None:
        """Each Deferred fires by its deadline, and once: the first invariant, and the seventh."""
        still = []
        for each in self._pending:
            if each.fired > 1:
                self._break("every_wait_ends", f"{each.what} of {each.node} has fired {each.fired} times")
            # a restart makes another service, and what the killed process promised is void
            gone = each.node.service is not each.service or not each.node.running
            if each.fired or gone:
                continue
            if each.node.asleep:
                # a host that sleeps makes no calls: its deadlines move on with each look
                each.deadline += CHECK_EVERY_SECONDS + 0.001
            elif self._network.clock.now > each.deadline:
                self._break("every_wait_ends", f"{each.what} of {each.node} has not fired in time")
            still.append(each)
        self._pending = still

    def the_table_has_live_links(self) -> None:
        """Whatever is in a routing table has a confirmed link, and is not the node itself: the third."""
        for node, core in self._cores():
            for entry in core.table:
                link = core.links.link_to(entry.name)
                if entry.name == node.name:
                    self._break("the_table_has_live_links", f"{node} is in its own table")
                if link is None or link not in core.links.confirmed or link is not entry.link:
                    self._break("the_table_has_live_links", f"{node} has no link to {entry.name.short}")

    def both_ends_agree(self) -> None:
        """
        Two nodes hold the same link to be theirs; for as long as a dead one may go unnoticed they may differ:
        the second.
        """
        now = self._network.clock.now
        current = {
            node.name: {peer.name: peer.link for peer in core.links.peers} for node, core in self._cores()
        }
        apart: dict[tuple[Name, Name], float] = {}
        for here, links in current.items():
            for there, link in links.items():
                theirs = current[there].get(here) if there in current else None
                # each end has an object of its own; the binding of the TLS session is what they share
                if theirs is None or theirs.binding != link.binding:
                    since = apart[here, there] = self._apart_since.get((here, there), now)
                    if now - since > DISAGREEMENT_SECONDS:
                        what = f"{here.short} and {there.short} hold different links for {now - since:.0f} s"
                        self._break("both_ends_agree", what)
        self._apart_since = apart

    def few_links_of_a_pair(self) -> None:
        """There are never many links between two nodes at once: the second. Raiders are no nodes."""
        nodes = {node.name for node in self._network}
        for node, _ in self._cores():
            peers = [link.peer for link in node.crust.links]
            # mostly there is one for each
            if len(peers) - len(set(peers)) < MAX_LINKS_OF_A_PAIR:
                continue
            count = Counter(each for each in peers if each in nodes)
            for peer, links in count.items():
                if links > MAX_LINKS_OF_A_PAIR:
                    self._break("few_links_of_a_pair", f"{node} has {links} links to {peer.short}")

    def bounds_are_kept(self) -> None:
        """No map grows above its setting: the eighth."""
        for node, core in self._cores():
            settings = node.settings
            sizes = (
                ("max_expected", len(core.attempts.expected), settings.max_expected),
                ("max_links", len(node.crust.links), settings.max_links),
                ("max_client_records", len(core.clients), MAX_CLIENT_RECORDS),
            )
            for setting, size, most in sizes:
                if size > most:
                    self._break("bounds_are_kept", f"{node} holds {size}, and {setting} is {most}")

    def nothing_is_left(self, node: SimulatedNode, core: RoutingCore | None) -> None:
        """
        After its stop a node has no timer, no link, and nothing in its maps: the fifth and the eighth.

        @param core: what the node was, before its stop.
        @raise InvariantBroken: something is left.
        """
        left: dict[str, int] = {
            "delayed calls": len(node.clock.getDelayedCalls()),
            "links of crust": len(node.crust.links),
        }
        if core is not None:
            left |= {
                "links": len(core.links),
                "expected connections": len(core.attempts.expected),
                "queries": len(core.lookup),
                "entries of the table": len([each for each in core.table if core.links.link_to(each.name)]),
            }
        kept = {what: count for what, count in left.items() if count}
        if kept:
            self._break("nothing_is_left", f"{node} has stopped and has {kept}")

    def _cores(self) -> list[tuple[SimulatedNode, RoutingCore]]:
        found = []
        for node in self._network:
            core = node.core if node.running else None
            if core is not None:
                found.append((node, core))
        return found

    def _tick(self) -> None:
        self._timer = self._network.clock.callLater(CHECK_EVERY_SECONDS, self._tick)
        self.look()

    # What is heard.

    def __call__(self, event: LogEvent) -> None:
        """Look at an event that was logged."""
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            text = failure.getTraceback() if isinstance(failure, Failure) else str(event.get("log_format"))
            self._hear("nothing_raises", text)
