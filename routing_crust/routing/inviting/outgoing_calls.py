"""
Outgoing calls: an inviter that nobody can dial dials the places where somebody waits with its invitation.

Order of messages: we are the TLS client, so we say Hello, for a purpose that the other end does not know. The
node that waits with an invitation answers with a L{Redeem<routing_crust.trust.redeeming.Redeem>} in place of
a Hello, which goes to the doorkeeper. Once it is a member, its node starts, at the same place as a rule: it
is dialled there until there is a link, since it cannot dial us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...endpoints import Contact, Endpoint
from ...names import Name
from ...timing.shares import OURSELVES
from ...timing.timers import cancel
from ...wire.fields import NONCE_BYTES
from ..links.registry import LinkRegistry
from ..node import Node

FIRST_WAIT_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 3.0
WAIT_FACTOR: Final = 1.1
ARRIVAL_SECONDS: Final = 900.0
"""For how long a new member is dialled whose node has not started yet."""
MAX_CALLS: Final = 16


@dataclass(slots=True, eq=False)
class _Call:
    """
    A place.

    @ivar token: the purpose of our Hello there.
    @ivar until: when it is given up.
    @ivar wait: seconds until the next dial.
    @ivar name: who has redeemed the invitation there; C{None} before.
    """

    endpoint: Endpoint
    token: bytes
    until: float
    wait: float = FIRST_WAIT_SECONDS
    name: Name | None = None
    timer: IDelayedCall | None = None
    dial: Deferred[ILink] | None = None


class OutgoingCalls:
    """Made with each start of the service, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, links: LinkRegistry, bootstrap: Callable[[], object]) -> None:
        """
        @param bootstrap: has us dial contacts, unless we are in the network or on the way there.
        """
        self._node = node
        self._links = links
        self._bootstrap = bootstrap
        self._calls: list[_Call] = []

    def add(self, endpoints: Iterable[Endpoint], until: float) -> None:
        """Dial these places until then, or until the invitation was redeemed there."""
        for endpoint in endpoints:
            for each in [each for each in self._calls if each.endpoint == endpoint]:
                self._end(each)
            if len(self._calls) >= MAX_CALLS:
                self._end(self._calls[0])
            token = self._node.random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
            call = _Call(endpoint, token, until)
            self._calls.append(call)
            self._dial(call)

    def is_called(self, link: ILink) -> bool:
        """Whether we have dialled this link to somebody who may have an invitation."""
        return any(link.token == each.token for each in self._calls)

    def redeemed(self, link: ILink) -> None:
        """The other end of a link has redeemed an invitation."""
        for call in [each for each in self._calls if each.token == link.token]:
            self.log.info(
                "{name} has redeemed an invitation at {endpoint}; it is dialled there until its node runs",
                name=link.peer,
                endpoint=call.endpoint,
            )
            call.name = link.peer
            call.until = self._node.clock.seconds() + ARRIVAL_SECONDS
            call.wait = FIRST_WAIT_SECONDS
            self._node.crust.remember(Contact(call.endpoint, link.peer))
            self._later(call)

    def stop(self) -> None:
        """Dial no more."""
        for call in list(self._calls):
            self._end(call)

    def _dial(self, call: _Call) -> None:
        call.timer = None
        if self._node.clock.seconds() > call.until or (call.name and self._links.peer(call.name)):
            self._end(call)
            return
        if call.name is None:
            self._connect(call, call.token)
        else:
            # where we are in no network yet, it is the contact that leads us into one
            self._bootstrap()
            self._connect(call, b"")
        self._later(call)

    def _connect(self, call: _Call, token: bytes) -> None:
        # the last dial may take longer than the wait for the next one
        if call.dial is None:
            dial = call.dial = self._node.crust.connect([call.endpoint], call.name, token, OURSELVES)
            # what comes of the link, crust's events say; and a failure is followed by another try
            dial.addBoth(self._dialled, call)

    def _dialled(self, outcome: object, call: _Call) -> None:
        call.dial = None

    def _later(self, call: _Call) -> None:
        cancel(call.timer)
        call.timer = self._node.clock.callLater(call.wait, self._dial, call)
        call.wait = min(MAX_WAIT_SECONDS, call.wait * WAIT_FACTOR)

    def _end(self, call: _Call) -> None:
        self._calls.remove(call)
        cancel(call.timer)
        if call.dial is not None:
            call.dial.cancel()
