"""Tunnels as routing makes, keeps and replaces them, in the network in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, RoutingService
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.events import Message
from routing_crust.wire.messages import LinkUse, NatKind

from ..net import Net


class TunnelCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net(7)
        self.addCleanup(self.net.stop)
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))

    def keep_apart(self, one: RoutingService, two: RoutingService, nat: NatKind = NatKind.SYMMETRIC) -> None:
        """Neither can dial the other, and both know why."""
        here, there = self.net.crust(one), self.net.crust(two)
        self.net.network.block(here, there)
        self.net.network.block(there, here)
        here.nat = there.nat = nat

    def let_together(self, one: RoutingService, two: RoutingService) -> None:
        here, there = self.net.crust(one), self.net.crust(two)
        self.net.network.unblock(here, there)
        self.net.network.unblock(there, here)

    def make(self, relays: int = 1, **options: Any) -> list[RoutingService]:
        """So many nodes that anyone can dial, and two that cannot dial each other, last."""
        self.net.grow(relays)
        for each in self.net.nodes:
            self.net.crust(each).nat = NatKind.OPEN
        self.make_apart(**options)
        return self.net.nodes

    def make_apart(self, nat: NatKind = NatKind.SYMMETRIC, **options: Any) -> None:
        a = self.net.node(**options)
        b = self.net.node(**options)
        self.keep_apart(a, b, nat)
        self.a, self.b = a, b

    def link(self, node: RoutingService, peer: RoutingService) -> ILink | None:
        assert node._core is not None
        return node._core.links.link_to(peer.node_name)

    def path_kind(self, node: RoutingService, peer: RoutingService) -> PathKind | None:
        link = self.link(node, peer)
        return None if link is None else link.path_kind

    def both(self, path_kind: PathKind | None) -> bool:
        return self.path_kind(self.a, self.b) is path_kind and self.path_kind(self.b, self.a) is path_kind

    def until(self, path_kind: PathKind | None, timeout: float = 60) -> float:
        before = self.net.clock.seconds()
        self.net.run(lambda: self.both(path_kind), timeout)
        return self.net.clock.seconds() - before


class MakingTests(TunnelCase):
    def test_joining(self) -> None:
        """Two nodes behind symmetric NATs, and one that both can dial: everyone is linked with everyone."""
        self.make()
        self.net.until_joined()
        self.until(PathKind.TUNNEL)
        relay = self.net.nodes[0]
        self.assertEqual(self.path_kind(self.a, relay), PathKind.DIRECT)
        link = self.link(self.a, self.b)
        assert link is not None
        self.assertEqual(link.via, relay.node_name)

    def test_messages(self) -> None:
        self.make()
        got: list[Message] = []
        self.b.set_message_handler(got.append)
        self.until(PathKind.TUNNEL)
        self.net.result(self.a.send(self.b.node_name, b"through"))
        self.assertEqual([each.body for each in got], [b"through"])

    def test_asked_for(self) -> None:
        """An application that asks for a link gets one, of whatever kind."""
        self.make()
        self.net.run(lambda: self.a.bootstrapped and self.b.bootstrapped)
        link = self.net.result(self.a.connect(self.b.node_name))
        self.assertIs(link.path_kind, PathKind.TUNNEL)

    def test_wanted_later(self) -> None:
        """A tunnel that an application or a stream has asked for does not keep the peer out of the table."""
        self.make()
        self.until(PathKind.TUNNEL)
        core = self.a._core
        assert core is not None
        core.links.drop(self.b.node_name, CloseReason.NO_LONGER_NEEDED, "")
        self.until(None)
        self.net.result(core.borrow(self.b.node_name))
        peer = core.links.peer(self.b.node_name)
        assert peer is not None
        self.assertEqual((peer.use, peer.link.path_kind), (LinkUse.DIRECT, PathKind.TUNNEL))
        self.net.run(lambda: self.a.group_connected and self.b.group_connected)
        self.net.run(lambda: self.b.node_name in core.table, timeout=120)
        self.assertTrue(self.both(PathKind.TUNNEL))

    def test_at_once_if_punching_cannot_help(self) -> None:
        self.make()
        self.net.run(lambda: self.a.group_connected)
        asked = self.net.clock.seconds()
        self.until(PathKind.TUNNEL)
        self.assertLess(self.net.clock.seconds() - asked, 1)

    def test_status(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        links: Any = self.a.status()["links"]
        (tunnel,) = [each for each in links if each["rung"] == "tunnel"]
        self.assertEqual(tunnel["via"], str(self.net.nodes[0].node_name))
        self.assertEqual([each["via"] for each in links if each is not tunnel], [None])

    def test_not_a_contact(self) -> None:
        """Nobody takes the address of the node in the middle for the peer's."""
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(5)
        for node, other in ((self.a, self.b), (self.b, self.a)):
            assert node._core is not None
            names = [each.name for each in self.net.crust(node).saved_contacts()]
            self.assertNotIn(other.node_name, names)
            peer = node._core.links.peer(other.node_name)
            assert peer is not None
            self.assertIsNone(peer.endpoint)
            self.assertIsNone(peer.facts.observed)
            self.assertIsNone(node._core.contacts.dialable_at(peer))


class ReplacingTests(TunnelCase):
    def test_by_itself(self) -> None:
        """As soon as the way is free, the next attempt finds it."""
        self.make()
        self.until(PathKind.TUNNEL)
        self.let_together(self.a, self.b)
        self.assertLess(self.until(PathKind.DIRECT), 20)
        assert self.a._core is not None
        self.assertEqual(len(self.a._core.tunnels), 0)

    def test_waits_longer_each_time(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(700)
        self.assertTrue(self.both(PathKind.TUNNEL))
        before = self.net.network.dials
        self.net.settle(600)
        tried = self.net.network.dials - before
        self.assertLess(tried, 80)
        self.assertTrue(self.both(PathKind.TUNNEL))

    def test_at_once_when_something_changes(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(900)
        self.let_together(self.a, self.b)
        self.net.crust(self.a).nat = NatKind.CONE
        assert self.a._core is not None
        self.a._core.external_endpoints(self.net.crust(self.a).endpoints)
        self.assertLess(self.until(PathKind.DIRECT), 3)

    def test_nothing_is_lost(self) -> None:
        """Messages and frames that are under way while the link is replaced arrive, in order."""
        self.make()
        self.until(PathKind.TUNNEL)
        got: list[int] = []
        self.b.set_frame_handler(lambda link, kind, payload: got.append(int(payload)))
        link = self.link(self.a, self.b)
        assert link is not None
        self.let_together(self.a, self.b)
        sent = 0
        while not self.both(PathKind.DIRECT):
            link.send(200, str(sent).encode())  # the same old link all the time
            sent += 1
            self.net.settle(0.003)
        for _ in range(20):
            link.send(200, str(sent).encode())
            sent += 1
        self.net.settle(1)
        self.assertGreater(sent, 100)
        self.assertEqual(got, list(range(sent)))


class LosingTests(TunnelCase):
    def test_next_relay(self) -> None:
        """The node in the middle dies: both ends hear of it at once, and go through another one."""
        self.make(3)
        self.until(PathKind.TUNNEL, 120)
        link = self.link(self.a, self.b)
        assert link is not None
        via = link.via
        (relay,) = [each for each in self.net.nodes if each.node_name == via]
        self.net.settle(1)
        self.net.crash(relay)
        self.net.run(lambda: self.link(self.a, self.b) is not link, 1)
        self.assertLess(self.until(PathKind.TUNNEL), 5)
        again = self.link(self.a, self.b)
        assert again is not None
        self.assertNotEqual(again.via, via)

    def test_no_other_relay(self) -> None:
        """With nobody left in the middle there is no link, and nothing goes on for ever."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        self.net.crash(self.net.nodes[0])
        self.until(None)
        self.net.settle(300)
        self.assertTrue(self.both(None))

    def test_closed_on_purpose(self) -> None:
        """A tunnel that an end has closed is not made again."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        core.links.drop(self.b.node_name, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(core.tunnels._again, {})
        self.assertEqual(len(core.tunnels), 0)

    def test_stop(self) -> None:
        """After a stop nothing is tried any more."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        self.net.result(self.a.stopService())
        self.net.result(self.b.stopService())


class ChoosingTests(TunnelCase):
    def test_one_of_the_others(self) -> None:
        """If no link is common, one is made with a node that the peer names."""
        self.make(2)
        self.until(PathKind.TUNNEL, 120)
        assert self.a._core is not None
        relay_choice = self.a._core.relays
        relays = [each.node_name for each in self.net.nodes[:2]]
        self.assertEqual(set(relay_choice.to_try(self.b.node_name, relays)), set(relays))
        self.assertEqual(relay_choice.to_try(self.b.node_name, relays[::-1])[0], relays[1])

    def test_a_link_is_made(self) -> None:
        """With a node that only the peer knows a link is made first."""
        self.make(2)
        self.until(PathKind.TUNNEL, 120)
        assert self.a._core is not None
        core = self.a._core
        relay = self.net.nodes[0].node_name
        core.links.drop(relay, CloseReason.NO_LONGER_NEEDED)
        result = self.net.result(
            Deferred.fromCoroutine(core.tunnel_opener._through(relay, self.b.node_name, bytes(16)))
        )
        self.assertIn("does not expect", result)
        self.assertIsNotNone(core.links.peer(relay))

    def test_silent_relay(self) -> None:
        """A node that does not answer is not waited for."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        relay = self.net.nodes[0]
        self.net.network.sleep(self.net.crust(relay))
        self.patch(self.net.crust(self.a), "tunnel", lambda *arguments: Deferred())
        through = core.tunnel_opener._through(relay.node_name, self.b.node_name, bytes(16))
        self.assertIn("did not answer", self.net.result(Deferred.fromCoroutine(through)))
        opening = core.tunnel_opener.open(self.b.node_name, bytes(16), ())
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.net.network.wake(self.net.crust(relay))

    def test_whom_we_name(self) -> None:
        """Nodes that can be dialled, those that the other has named first, then the nearest to its name."""
        self.net.grow(6)
        node, *others = self.net.nodes
        assert node._core is not None
        relay_choice = node._core.relays
        for each in others:
            self.net.crust(each).nat = NatKind.OPEN
        other, last = (
            others[0].node_name,
            max(others[1:], key=lambda each: others[0].node_name.distance(each.node_name)),
        )
        named = [each.name for each in relay_choice.to_name(other)]
        self.assertLessEqual(len(named), 4)
        self.assertNotIn(other.raw, named)
        distances = [other.distance(Name(each)) for each in named]
        self.assertEqual(distances, sorted(distances))
        dialable = [
            each.name for each in node._core.links.peers if node._core.contacts.dialable_at(each) is not None
        ]
        if last.node_name in dialable:
            self.assertEqual(relay_choice.to_name(other, (last.node_name,))[0].name, last.node_name.raw)

    def test_distrust(self) -> None:
        """Three tunnels that ended, or one that broke, are enough for a minute."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        relay_choice = self.a._core.relays
        peer, relay = self.b.node_name, self.net.nodes[0].node_name
        for weight, times in ((1, 3), (3, 1)):
            for _ in range(times):
                self.assertFalse(relay_choice.is_distrusted(peer, relay))
                relay_choice.note_fault(peer, relay, weight)
            self.assertEqual(relay_choice.to_try(peer, [relay]), [])
            self.net.settle(61)
        self.assertEqual(relay_choice.to_try(peer, [relay]), [relay])

    def test_nobody(self) -> None:
        """Whom nobody can reach gets no link, in finite time."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        self.net.crash(self.net.nodes[0])
        opening: Deferred[ILink] = core.tunnel_opener.open(self.b.node_name, bytes(16), ())
        with self.assertRaisesRegex(Exception, "could be in its middle|no link"):
            self.net.result(opening)

    def test_client(self) -> None:
        """A client carries nothing for others."""
        self.net.grow(2)
        client = self.net.node(Role.CLIENT, listen=())
        self.net.run(lambda: client.bootstrapped)
        self.assertIsNone(self.net.crust(client).tunnel_way)
