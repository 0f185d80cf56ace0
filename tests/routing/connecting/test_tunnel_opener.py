"""Opening a tunnel through one node after another."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred

from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.wire.messages import LinkUse

from .tunnel_case import TunnelCase


class TunnelOpenerTests(TunnelCase):
    def test_link_is_made_with_a_node_that_only_the_peer_knows(self) -> None:
        """The tunnel is opened over it."""
        self.make(2)
        self.until(PathKind.TUNNEL, 120)
        assert self.a._core is not None
        core = self.a._core
        relay = self.net.nodes[0].node_name
        core.links.drop(relay, CloseReason.NO_LONGER_NEEDED)
        result = self.net.result(
            Deferred.fromCoroutine(core.tunnel_opener._through(relay, self.b.node_name, bytes(16), True))
        )
        self.assertIn("does not expect", result)
        self.assertIsNotNone(core.links.peer(relay))

    def test_node_that_does_not_answer_is_not_waited_for(self) -> None:
        """And an attempt can be cancelled."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        relay = self.net.nodes[0]
        self.net.network.sleep(self.net.crust(relay))
        self.patch(self.net.crust(self.a), "tunnel", lambda *arguments: Deferred())
        through = core.tunnel_opener._through(relay.node_name, self.b.node_name, bytes(16), True)
        self.assertIn("did not answer", self.net.result(Deferred.fromCoroutine(through)))
        opening = core.tunnel_opener.open(self.b.node_name, bytes(16), (), True)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.net.network.wake(self.net.crust(relay))

    def asks_its_relay(self, age: float) -> tuple[Deferred[ILink], Deferred[ILink], ILink]:
        """
        A node opens a tunnel through its proxy, which it has asked C{age} seconds ago to be a member.

        @return: what waits for the membership, what waits for a link to the relay, and the present link.
        """
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        relay = self.net.nodes[0].node_name
        peer = core.links.peer(relay)
        assert peer is not None
        asked: Deferred[ILink] = Deferred()
        self.patch(core.links, "peer", lambda name: replace(peer, use=LinkUse.ATTACHED))
        self.patch(core.connector.requests, "is_under_way", lambda name, use: use is LinkUse.MEMBER)
        self.patch(core.connector.requests, "request_age", lambda name: age)
        self.patch(core.connector, "request_link", lambda name, use: asked)
        return asked, Deferred.fromCoroutine(core.tunnel_opener._link_to(relay)), peer.link

    def test_tunnel_waits_for_a_membership_of_its_relay_while_that_is_new(self) -> None:
        """The link that a new request brings would end a tunnel over the old one."""
        asked, opening, _ = self.asks_its_relay(0.0)
        self.assertNoResult(opening)
        replaced = self.link(self.a, self.b)
        assert replaced is not None
        asked.callback(replaced)
        self.assertIs(self.successResultOf(opening), replaced)

    def test_tunnel_does_not_wait_for_an_old_request(self) -> None:
        """It will bring no link."""
        _, opening, present = self.asks_its_relay(5.0)
        self.assertIs(self.successResultOf(opening), present)

    def test_tunnel_goes_over_the_present_link_of_a_relay_that_does_not_answer(self) -> None:
        """It has no room for us in its table, and says nothing."""
        _, opening, present = self.asks_its_relay(0.0)
        self.net.clock.advance(1.0)
        self.assertIs(self.successResultOf(opening), present)

    def test_attempt_fails_if_no_node_can_be_in_the_middle(self) -> None:
        """It takes a finite time."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        self.net.crash(self.net.nodes[0])
        opening: Deferred[ILink] = core.tunnel_opener.open(self.b.node_name, bytes(16), (), True)
        with self.assertRaisesRegex(Exception, "could be in its middle|no link"):
            self.net.result(opening)
