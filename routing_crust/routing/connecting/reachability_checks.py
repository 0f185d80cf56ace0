"""
Reachability checks: at which address others see us, and whether they can dial us there.

A check is made soon after the node is connected, when its endpoints have changed, and about every ten
minutes. It has two parts. If too few peers of different networks have seen us to tell the kind of our NAT, we
dial one more from the listening port; its Hello says where it sees us, and the link is closed again. And we
ask a peer to have us dialled back (L{routing_crust.routing.connecting.dial_back_helper}). If that succeeds,
crust sees it when the connection comes; the answer tells us that it failed.

On a network without external addresses, such as a private one or loopback, no check is made and nothing is
sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...crust.reachability import Dialable
from ...endpoints import Contact, Endpoint, PathKind
from ...errors import CloseReason, RoutingCrustError
from ...names import Name
from ...timing.backoff import Backoff
from ...timing.shares import OURSELVES
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode, to_wire
from ...wire.framing import FrameKind
from ...wire.messages import DialBack, Dialled, DialOutcome, LinkUse
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .dial_back_helper import HELPER_WAIT_SECONDS, MAX_HELPERS, DialBackHelper

INTERVAL_SECONDS: Final = 600.0
"""
Seconds from one check to the next; up to a fifth more or less. While it is not known whether others can dial
us, they are C{PAUSE_SECONDS} at first, then twice as many each time.
"""
SOON_SECONDS: Final = 3.0
"""Seconds until a check after a change; up to half of it more or less."""
PAUSE_SECONDS: Final = 30.0
"""Seconds between two checks at least, whatever others say of us."""
CHANGED_PAUSE_SECONDS: Final = 5.0
"""The same when the network of this host has changed, which no peer can bring about."""
RETRIES_AFTER_A_CHANGE: Final = 2
"""Checks that follow soon if, after such a change, the nodes that were dialled did not answer."""
MAX_OBSERVERS: Final = 4
"""Nodes that are dialled in one check, to be seen by them."""
MAX_ASKED: Final = 3
"""Peers that are asked in one check to have us dialled."""
HELLO_WAIT_SECONDS: Final = 2.0
"""Seconds that a node has for its Hello before the next one is dialled."""
MAX_ENDPOINTS: Final = 2
"""Our endpoints that one request names."""


class ReachabilityChecks(PeerListener):
    """
    Made at each start, started when the node is connected, fed with frames, discarded after L{stop}.

    @ivar kinds: the kinds of frames to feed it with.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        dialable_at: Callable[[Peer], Endpoint | None],
        seen_elsewhere: Callable[[], object],
    ) -> None:
        """
        @param dialable_at: where others can dial a peer; C{None} if that is not known.
        @param seen_elsewhere: called when a check has shown that others see us elsewhere than before.
        """
        self._node = node
        self._links = links
        self._dialable_at = dialable_at
        self._seen_elsewhere = seen_elsewhere
        self._seen_before: tuple[Endpoint, ...] = ()
        self._retries = 0
        self._helper = DialBackHelper(node, links)
        self._timer: IDelayedCall | None = None
        self._checked = float("-inf")
        self._backoff = Backoff(PAUSE_SECONDS, 2.0, INTERVAL_SECONDS)
        self._observers: list[Contact] = []
        self._dial: Deferred[ILink] | None = None
        self._observer_timer: IDelayedCall | None = None
        self._asked: dict[Name, None] = {}
        self._waiting: Name | None = None
        self._wait_timer: IDelayedCall | None = None
        self._number = 0
        self._frames = {
            FrameKind.DIAL_BACK: self._helper.dial_back,
            FrameKind.DIAL_FOR: self._helper.dial_for,
            FrameKind.DIALLED: self._helper.dialled,
            FrameKind.DIALLED_BACK: self._answered,
        }
        self.kinds = frozenset(self._frames)

    def start(self) -> None:
        """Check from now on. Without effect if it checks already."""
        if self._timer is None:
            self._schedule(SOON_SECONDS * self._node.random.uniform(0.5, 1.5))

    def rest(self) -> None:
        """Stop checking until L{start}. Other nodes are still helped."""
        cancel(self._timer)
        cancel(self._observer_timer)
        cancel(self._wait_timer)
        self._timer = self._waiting = None
        if self._dial is not None:
            self._dial.cancel()

    def stop(self) -> None:
        """Stop checking, and stop helping others."""
        self.rest()
        self._helper.stop()

    def wake(self) -> None:
        """Our endpoints or our NAT may have changed: check soon, unless checking is stopped."""
        self._check_soon(PAUSE_SECONDS)

    def network_changed(self) -> None:
        """The network of this host has changed: check soon, unless checking is stopped."""
        self._retries = RETRIES_AFTER_A_CHANGE
        self._backoff.reset()
        self._check_soon(CHANGED_PAUSE_SECONDS)

    def _check_soon(self, pause: float) -> None:
        if self._timer is None:
            return
        now = self._node.clock.seconds()
        wait = max(SOON_SECONDS * self._node.random.uniform(0.5, 1.5), self._checked + pause - now)
        if wait < time_left(self._timer, self._node.clock):
            self._timer.cancel()
            self._schedule(wait)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame of one of L{kinds} came on a confirmed link.

        @raise WireError: the peer broke the protocol.
        """
        self._frames[FrameKind(kind)](link, payload)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """If it owed us an answer, ask another peer."""
        self._helper.forget(peer.name)
        if self._waiting == peer.name:
            self._no_answer()

    def _schedule(self, wait: float) -> None:
        self._timer = self._node.clock.callLater(wait, self._check)

    def _check(self) -> None:
        unknown = self._node.crust.reachability.dialable is Dialable.UNKNOWN
        wait = self._backoff.next_wait() if unknown else INTERVAL_SECONDS
        self._schedule(wait * self._node.random.uniform(0.8, 1.2))
        self._checked = self._node.clock.seconds()
        if self._dial is None:
            cancel(self._observer_timer)
            self._observers = self._choose_observers()
            self._dial_next_observer()
        if self._waiting is None:
            self._asked.clear()
            self._ask_next_peer()

    # Where others see us.

    def _choose_observers(self) -> list[Contact]:
        """Nodes whose view of our address would tell us more, in random order."""
        node = self._node
        linked = [(each.name, self._dialable_at(each)) for each in self._links.peers]
        # a linked peer may be dialled again: it may not have seen the port that we listen on
        known = [Contact(endpoint, name) for name, endpoint in linked if endpoint is not None]
        others = (*node.crust.configured_contacts(), *node.crust.saved_contacts())
        known += [each for each in others if each.name not in (None, node.name)]
        useful = [each for each in dict.fromkeys(known) if node.crust.may_observe(each.endpoint)]
        return node.random.sample(useful, min(MAX_OBSERVERS, len(useful)))

    def _dial_next_observer(self) -> None:
        """Dial the next node, if another view of us is still needed."""
        while self._observers:
            contact = self._observers.pop()
            # asked again here, since the last observer may have told enough
            if self._node.crust.may_observe(contact.endpoint):
                self._seen_before = self._node.crust.outside
                self._dial = self._node.crust.connect((contact.endpoint,), contact.name, b"", OURSELVES)
                self._dial.addBoth(self._dialled)
                return

    def _dialled(self, result: ILink | Failure) -> None:
        self._dial = None
        link = None
        if isinstance(result, Failure):
            result.trap(RoutingCrustError, CancelledError)
            self.log.debug("no new node sees us: {reason}", reason=result.getErrorMessage())
            if self._retries and not result.check(CancelledError):
                # until one of them sees us, peers are told an address that may be gone
                self._retries -= 1
                self._check_soon(PAUSE_SECONDS)
        else:
            link = result
        # the checks may have been stopped during the dial
        if self._timer is not None:
            self._observer_timer = self._node.clock.callLater(HELLO_WAIT_SECONDS, self._observed, link)
        elif link is not None:
            self._let_go(link)

    def _observed(self, link: ILink | None) -> None:
        if link is not None:
            self._let_go(link)
        # crust reports where enough networks agree to see us; one is enough to make another attempt worth it
        if self._node.crust.outside != self._seen_before:
            self._seen_elsewhere()
        self._dial_next_observer()

    def _let_go(self, link: ILink) -> None:
        """Close a link that was made to be seen, if it serves for no more and is not closed already."""
        peer = self._links.peer(link.peer)
        if peer is None or peer.link is not link or peer.use is LinkUse.ATTACHED:
            self._links.close(link, CloseReason.NO_LONGER_NEEDED)

    # Whether they can dial us.

    def _ask_next_peer(self) -> None:
        peers = [each for each in self._links.peers if self._endpoints_for(each)]
        if not peers or len(self._asked) >= MAX_ASKED:
            return
        peer = self._node.random.choice(peers)
        endpoints = tuple(map(to_wire, self._endpoints_for(peer)))
        self._asked[peer.name] = None
        self._waiting = peer.name
        self._number += 1
        # the peer may ask several helpers, one after the other
        wait = MAX_HELPERS * HELPER_WAIT_SECONDS + HELLO_WAIT_SECONDS
        self._wait_timer = self._node.clock.callLater(wait, self._no_answer)
        peer.link.send(FrameKind.DIAL_BACK, encode(DialBack(self._number, endpoints)))

    def _endpoints_for(self, peer: Peer) -> tuple[Endpoint, ...]:
        """
        The endpoints at which this peer can have us dialled; none if it was asked already. It passes on no
        address but the one at which it sees us.
        """
        facts = peer.facts
        unfit = facts.is_client or peer.link.path_kind is PathKind.TUNNEL or peer.name in self._asked
        if unfit or facts.observed is None:
            return ()
        same = [each for each in self._node.crust.outside if each.host == facts.observed.host]
        return tuple(same[:MAX_ENDPOINTS])

    def _answered(self, link: ILink, payload: bytes) -> None:
        message = decode(Dialled, payload, MAX_CONTROL_BYTES)
        # the number excludes a late answer to an earlier question
        if link.peer != self._waiting or message.id != self._number:
            return
        cancel(self._wait_timer)
        self._waiting = None
        failed = message.outcome is DialOutcome.NOT_REACHED
        if failed:
            self._node.crust.not_reached(link.peer)
        # one failure does not refute an earlier success of another node: ask another peer
        proven = self._node.crust.reachability.dialable is Dialable.YES
        if message.outcome is DialOutcome.NOT_TRIED or (failed and proven):
            self._ask_next_peer()

    def _no_answer(self) -> None:
        cancel(self._wait_timer)
        self._waiting = None
        self._ask_next_peer()
