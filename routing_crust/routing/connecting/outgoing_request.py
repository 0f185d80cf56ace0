"""
An outgoing request for a connection: the ways that its envelopes take, and the callers that wait for a link.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...limits import (
    DIAL_TIMEOUT_SECONDS,
    EXPECTED_TIMEOUT_SECONDS,
    MAX_ATTEMPTS,
    TWO_WAY_WAIT_SECONDS,
)
from ...names import Name
from ...timing.timers import cancel
from ...timing.waiters import Waiters
from ...wire.codec import encode
from ...wire.fields import WireEndpoint
from ...wire.messages import ConnectGo, ConnectRequest, EnvelopeKind, LinkUse, WireRelay
from ..control import SendControl
from ..envelopes import REQUEST_LABEL, sign_body
from ..messaging.outgoing.retries import MAX_HINT_RETRY_SECONDS, MIN_HINT_RETRY_SECONDS
from ..nat_pairs import told_nat
from ..node import Node

MIN_RESEND_SECONDS: Final = 0.25
"""Between two copies of a request that are sent before anything has said that the first is lost."""
REPEAT_SECONDS: Final = (1.0, 2.0, 4.0, 4.0, 4.0)
"""Waits, one after the other, for an answer to a request until it is sent again."""


class OutgoingRequest:
    """
    Made by the L{Connector<routing_crust.routing.connecting.connector.Connector>}, which forgets it before
    L{settle} or L{stop}.

    @ivar name: the node that is asked.
    @ivar use: what the link is for.
    @ivar nonce: the nonce of the request.
    @ivar token: the signed request.
    @ivar sent: when the request was made, in seconds.
    @ivar sent_last: when an envelope with it was sent last, in seconds.
    @ivar issued: when it was made, by the network's time, as the request says.
    @ivar timer: the delayed call that gives the request up.
    @ivar answered: whether a response has come.
    @ivar waiting: the callers that wait for the link; the last that leaves has it given up.
    @ivar candidates: the addresses of ours that it names.
    """

    __slots__ = (
        "_envelopes", "_node", "_repeat", "_retry", "_send", "_way",
        "answered", "candidates", "issued", "name", "nonce", "sent", "sent_last", "timer", "token", "use",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        node: Node,
        name: Name,
        use: LinkUse,
        nonce: bytes,
        token: bytes,
        timer: IDelayedCall,
        send: SendControl,
    ) -> None:
        self.name = name
        self.use = use
        self.nonce = nonce
        self.token = token
        self.timer = timer
        self.sent = self.sent_last = node.clock.seconds()
        self.issued = node.network_now()
        self.answered = False
        self.waiting: Waiters[ILink] = Waiters()
        self.candidates: tuple[WireEndpoint, ...] = ()
        self._node = node
        self._send = send
        self._way: tuple[Name | None, ILink | None, int] = (None, None, 0)
        self._envelopes: set[int | None] = set()
        self._retry: IDelayedCall | None = None
        self._repeat: IDelayedCall | None = None

    def send(self, proxy: Name | None, via: ILink | None, attempt: int = 0) -> None:
        """Send the request by this way, which L{SendControl} explains."""
        self.sent_last = self._node.clock.seconds()
        self._way = proxy, via, attempt
        self._envelopes.add(self._send(EnvelopeKind.CONNECT_REQUEST, self.name, self.token, *self._way))

    def is_in(self, envelope_id: int) -> bool:
        """Whether this envelope of ours carries the request."""
        return envelope_id in self._envelopes

    def undeliverable(self) -> None:
        """One of its envelopes found no way on: send the request by another way soon."""
        # several copies may come to the same dead end, and each brings a hint
        if self.answered or self._retry is not None:
            return
        if len(self._envelopes) < MAX_ATTEMPTS:
            wait = self._node.random.uniform(MIN_HINT_RETRY_SECONDS, MAX_HINT_RETRY_SECONDS)
            self._retry = self._node.clock.callLater(wait, self.send_again)

    def ask_again(self) -> None:
        """Send the request by another way, unless it has an answer or has just been sent."""
        if not self.answered and self._node.clock.seconds() - self.sent_last >= MIN_RESEND_SECONDS:
            self.send_again()

    def send_again(self) -> None:
        """Send the request by another way."""
        cancel(self._retry)
        self._retry = None
        proxy, via, attempt = self._way
        # The given way has failed: from now on the table decides, with another first hop each time.
        self.send(None, None, attempt + 1 if proxy is None and via is None else 0)

    def repeat(self, is_needed: Callable[[], bool], waits: tuple[float, ...] = REPEAT_SECONDS) -> None:
        """
        Send the request again while it has no answer: no hint comes where it has vanished in a link that is
        dead, of which the node before it does not know yet.

        @param is_needed: asked each time.
        """

        def again() -> None:
            if self.answered or not is_needed():
                return
            self.ask_again()
            self.repeat(is_needed, waits[1:])

        if waits:
            self._repeat = self._node.clock.callLater(waits[0], again)

    def send_go(self) -> None:
        """Tell the responder that we begin to punch, by the way that the request went last."""
        # that way has just worked, and a punch has no time to look for another
        self._send(EnvelopeKind.CONNECT_GO, self.name, encode(ConnectGo(self.nonce)), *self._way)

    def wait_for_dials(self) -> None:
        """
        It was answered, and is given up when all dials and handshakes have ended. The link is expected for
        longer, but the node may be asked again.
        """
        patience = DIAL_TIMEOUT_SECONDS + self._node.settings.hello_timeout + TWO_WAY_WAIT_SECONDS
        self.timer.reset(min(patience, EXPECTED_TIMEOUT_SECONDS))

    def settle(self, result: ILink | Failure) -> None:
        """The request has ended: give the callers that wait their result."""
        self.stop()
        self.waiting.fire(result)

    def stop(self) -> None:
        """Send nothing more, and cancel the delayed call that gives the request up."""
        cancel(self.timer)
        cancel(self._retry)
        cancel(self._repeat)


def signed_request(
    node: Node,
    name: Name,
    use: LinkUse,
    nonce: bytes,
    candidates: tuple[WireEndpoint, ...],
    relays: tuple[WireRelay, ...],
    guesses: bool,
) -> bytes:
    """
    A request to a node, signed by us.

    @param candidates: our addresses.
    @param relays: the nodes that we name for a tunnel to us.
    @param guesses: whether we ask it to guess ports.
    """
    issued = node.network_now()
    message = ConnectRequest(
        name.raw,
        nonce,
        issued,
        issued + EXPECTED_TIMEOUT_SECONDS,
        node.incarnation,
        use,
        candidates,
        told_nat(node.crust),
        relays,
        guesses,
    )
    return sign_body(node.identity, node.settings.network, REQUEST_LABEL, message)
