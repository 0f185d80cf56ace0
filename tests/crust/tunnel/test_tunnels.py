"""TunnelDispatch over real sockets: two crusts, and a third in the middle."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from routing_crust.crust.interfaces import ILink
from routing_crust.crust.service import CrustService
from routing_crust.crust.tunnel import relay as tunnel_relay
from routing_crust.crust.tunnel.room import LEAST_TUNNEL_BYTES
from routing_crust.endpoints import PathKind, Protocol
from routing_crust.errors import CloseReason, ConnectFailed
from routing_crust.names import Name
from routing_crust.routing.connecting.relay_choice import FAULT_WEIGHTS
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.tunnels import TunnelReason

from ..addresses import name
from ..services import Receiver, ServiceTests, turn

KIND = 200
TOKEN = b"token of sixteen"


class TunnelTests(ServiceTests):
    """A is 1, the relay is 3, B is 2."""

    async def three(self, middle: dict[str, Any] | None = None, **settings: Any) -> None:
        self.a, self.on_a = self.start(1, **settings)
        self.b, self.on_b = self.start(2, **settings)
        self.m, self.on_m = self.start(3, **(middle or {}))
        self.am, self.ma = await self.join(self.a, self.on_a, self.m, self.on_m)
        self.bm, self.mb = await self.join(self.b, self.on_b, self.m, self.on_m)
        self.m.carry_tunnels(self.way)

    def way(self, link: ILink, peer: Name) -> ILink | None:
        return {name(1): self.ma, name(2): self.mb}.get(peer)

    async def join(
        self, one: CrustService, on_one: Receiver, two: CrustService, on_two: Receiver
    ) -> tuple[ILink, ILink]:
        link = await one.connect(two.endpoints, None, b"", OURSELVES)
        await on_one.next("connect")
        (accepted,) = await on_two.next("accept")
        link.verified()
        accepted.verified()
        return link, accepted

    def expect(self) -> None:
        self.b.expect(name(1), TOKEN, False)

    def open(self) -> Deferred[ILink]:
        return self.a.tunnel(self.am, name(2), TOKEN, True)

    async def tunnel(self) -> tuple[ILink, ILink]:
        self.expect()
        link = await self.open()
        await self.on_a.next("connect")
        (accepted,) = await self.on_b.next("accept")
        link.verified()
        accepted.verified()
        return link, accepted

    async def refused(self, opening: Deferred[ILink]) -> str:
        problem = await self.assertFailure(opening, ConnectFailed)
        return str(problem)

    async def test_tunnelled_link_says_what_it_is(self) -> None:
        await self.three()
        link, accepted = await self.tunnel()
        self.assertEqual((link.peer, accepted.peer), (name(2), name(1)))
        self.assertEqual((link.path_kind, accepted.path_kind), (PathKind.TUNNEL, PathKind.TUNNEL))
        self.assertEqual((link.via, accepted.via), (name(3), name(3)))
        self.assertEqual((link.token, accepted.token), (TOKEN, TOKEN))
        self.assertEqual((link.initiator, accepted.initiator), (True, False))
        self.assertEqual(link.binding, accepted.binding)
        self.assertEqual(link.connection.protocol, Protocol.TUNNEL)
        self.assertEqual(link.connection.peer, self.am.connection.peer)
        self.assertNotEqual(link.connection, self.am.connection)
        self.assertIsNone(self.am.via)

    async def test_more_than_the_credit_goes_through_both_ways(self) -> None:
        """Much more than the credit goes through, in order, and the middle holds no more than it gave."""
        await self.three()
        link, accepted = await self.tunnel()
        payloads = [bytes([number]) * 20_000 for number in range(40)]
        for payload in payloads:
            link.send(KIND, payload)
            accepted.send(KIND, payload)
        for receiver, end in ((self.on_b, accepted), (self.on_a, link)):
            for payload in payloads:
                self.assertEqual(await receiver.next("message"), (end, KIND, payload))

    async def test_requester_is_the_tls_client_when_the_responder_opens(self) -> None:
        await self.three()
        self.expect()
        self.a.expect(name(2), TOKEN, True)
        link = await self.b.tunnel(self.bm, name(1), TOKEN, False)
        (accepted,) = await self.on_a.next("accept")
        self.assertEqual((link.initiator, accepted.initiator), (False, True))

    async def test_goodbye_ends_the_tunnel_at_both_ends(self) -> None:
        await self.three()
        link, accepted = await self.tunnel()
        link.close(CloseReason.NO_LONGER_NEEDED)
        lost, reason = await self.on_b.next("lost")
        self.assertIs(lost, accepted)
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NO_LONGER_NEEDED, True))
        lost, reason = await self.on_a.next("lost")
        self.assertIs(lost, link)
        self.assertEqual(self.m._tunnels.carried, 0)
        await turn()
        self.assertTrue(self.a._tunnels.idle and self.b._tunnels.idle)

    async def test_abort_ends_the_tunnel_at_both_ends(self) -> None:
        await self.three()
        link, accepted = await self.tunnel()
        accepted.abort(CloseReason.INACTIVE)
        lost, reason = await self.on_a.next("lost")
        self.assertIs(lost, link)
        self.assertIs(reason.reason, CloseReason.CONNECTION_LOST)

    async def test_both_ends_hear_that_the_middle_is_gone(self) -> None:
        await self.three()
        link, accepted = await self.tunnel()
        self.ma.abort(CloseReason.STOPPING)
        lost = [(await self.on_a.next("lost"))[0] for _ in range(2)]
        self.assertEqual(set(map(id, lost)), {id(self.am), id(link)})
        self.assertIs((await self.on_b.next("lost"))[0], accepted)

    async def test_tunnel_that_makes_room_is_no_fault_of_the_relay(self) -> None:
        """Both ends hear which setting of which node it was, and do not count it among broken tunnels."""
        await self.three()
        await self.tunnel()
        relay = self.m._tunnels._relay
        (tunnel,) = relay._tunnels
        tunnel.close(TunnelReason.NO_MEMORY)
        for receiver in (self.on_a, self.on_b):
            _, reason = await receiver.next("lost")
            self.assertNotIn(reason.reason, FAULT_WEIGHTS)
            self.assertIn(f"tunnel_memory of node {name(3).short} is taken", str(reason))

    async def test_near_end_hears_that_the_far_end_is_gone(self) -> None:
        await self.three()
        link, _ = await self.tunnel()
        self.bm.abort(CloseReason.STOPPING)
        lost, reason = await self.on_a.next("lost")
        self.assertIs(lost, link)
        self.assertIn("between the relay and the peer", str(reason))

    async def test_stopping_any_node_leaves_nothing(self) -> None:
        for who in "abm":
            await self.three()
            await self.tunnel()
            await getattr(self, who).stop()
            for crust in (self.a, self.b, self.m):
                await crust.stop()
            self.assertEqual(len(self.a._tunnels._numbers), 0)

    async def test_stop_fails_a_tunnel_that_is_opening(self) -> None:
        await self.three()
        opening = self.open()
        stopped = self.a.stop()
        self.assertIn("stopping", await self.refused(opening))
        await stopped

    async def test_cancelled_tunnel_leaves_nothing_at_any_node(self) -> None:
        await self.three()
        self.expect()
        opening = self.open()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertTrue(self.a._tunnels.idle)

    async def test_unexpected_tunnel_is_refused(self) -> None:
        await self.three()
        self.assertIn("does not expect", await self.refused(self.open()))

    async def test_tunnel_expected_of_another_peer_is_refused(self) -> None:
        await self.three()
        self.b.expect(name(9), TOKEN, False)
        self.assertIn("does not expect", await self.refused(self.open()))

    async def test_tunnel_without_a_link_to_the_peer_is_refused(self) -> None:
        await self.three()
        self.expect()
        self.m.carry_tunnels(lambda link, peer: None)
        self.assertIn("no direct link", await self.refused(self.open()))

    async def test_tunnel_through_a_tunnel_is_refused(self) -> None:
        """This holds at either end."""
        await self.three()
        link, accepted = await self.tunnel()
        self.assertIn("is a tunnel", await self.refused(self.a.tunnel(link, name(3), TOKEN, True)))
        self.b.carry_tunnels(lambda over, peer: self.bm)
        self.a._links[link] = None
        opening = self.a._tunnels._ends.open(link, name(3), TOKEN, True, False)
        self.assertIn("does not carry", await self.refused(opening))
        self.m.carry_tunnels(lambda over, peer: accepted)
        self.assertIn("no direct link", await self.refused(self.a.tunnel(self.am, name(7), TOKEN, True)))

    async def test_refusal_says_which_setting_of_which_node_it_was(self) -> None:
        """The history of the peer, from which it is explained, has it too."""
        await self.three({"tunnel_memory": LEAST_TUNNEL_BYTES})
        await self.tunnel()
        self.assertIn(f"tunnel_memory of node {name(3).short} is taken", await self.refused(self.open()))
        last = self.a.history.of(name(2)).outcomes[-1]
        self.assertIn(f"tunnel_memory of node {name(3).short}", last.text)

    async def test_tunnel_memory_zero_carries_none(self) -> None:
        await self.three({"tunnel_memory": 0})
        self.expect()
        self.assertIn(f"tunnel_memory of node {name(3).short} may be 0", await self.refused(self.open()))

    async def test_closed_tunnel_makes_room_for_another(self) -> None:
        await self.three({"tunnel_memory": LEAST_TUNNEL_BYTES})
        link, _ = await self.tunnel()
        link.close(CloseReason.NO_LONGER_NEEDED)
        await self.on_a.next("lost")
        self.assertIs((await self.open()).path_kind, PathKind.TUNNEL)

    async def test_rules_for_names_hold_for_the_peer_at_the_other_end(self) -> None:
        """The rules for names hold for the peer at the other end, and those for addresses cannot."""
        await self.three(deny=(str(name(2)), "192.0.2.0/24"))
        self.expect()
        self.assertIn("deny", await self.refused(self.open()))

    async def test_allowed_network_lets_in_no_unknown_address(self) -> None:
        """A network on the allow list lets in no one whose address is not known."""
        await self.three(allow=("127.0.0.0/8",))
        self.expect()
        self.assertIn("allow", await self.refused(self.open()))

    async def test_wrong_peer_in_the_tunnel_is_refused(self) -> None:
        """TLS in the tunnel verifies the name of the peer."""
        await self.three()
        c, on_c = self.start(4)
        _, mc = await self.join(c, on_c, self.m, self.on_m)
        c.expect(name(1), TOKEN, False)
        self.m.carry_tunnels(lambda link, peer: mc)
        self.assertIn("instead of", await self.refused(self.open()))

    async def test_node_in_the_middle_that_alters_bytes_ends_the_tunnel(self) -> None:
        """A relay that alters bytes ends the tunnel, and nothing else."""
        await self.three()
        link, accepted = await self.tunnel()
        intact = tunnel_relay.data_frame
        self.patch(
            tunnel_relay,
            "data_frame",
            lambda number, chunk: intact(number, chunk[:-1] + bytes([chunk[-1] ^ 1])),
        )
        link.send(KIND, b"hello")
        lost, _ = await self.on_b.next("lost")
        self.assertIs(lost, accepted)
        self.assertEqual(self.on_b.of("message"), [])
        self.assertIs((await self.on_a.next("lost"))[0], link)
        self.assertEqual(len(self.on_m.of("lost")), 0)

    async def test_link_whose_hello_is_not_verified_has_no_tunnels(self) -> None:
        """A link whose Hello is not verified has no tunnels: its frames are for the layer above to judge."""
        await self.three()
        c, _ = self.start(4)
        link = await c.connect(self.m.endpoints, None, b"", OURSELVES)
        (accepted,) = await self.on_m.next("accept")
        link.send(FrameKind.TUNNEL_OPEN, b"")
        self.assertEqual(await self.on_m.next("message"), (accepted, FrameKind.TUNNEL_OPEN, b""))
