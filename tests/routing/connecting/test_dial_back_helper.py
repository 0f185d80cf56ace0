"""Dialling back for others: who is asked to help, and what a liar gains. Whole nodes on a fake clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from routing_crust import Settings
from routing_crust.endpoints import Connection, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, ConnectFailed, LimitReached
from routing_crust.names import Name
from routing_crust.routing.connecting.dial_back_helper import (
    ALL_SECONDS,
    ASKED_PER_MINUTE,
    HELPER_WAIT_SECONDS,
    IN_ALL_PER_MINUTE,
    MAX_JOBS,
    ORDERED_PER_MINUTE,
    Quota,
    _Job,
)
from routing_crust.routing.connecting.reachability_checks import SOON_SECONDS
from routing_crust.wire.codec import to_wire
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import DialBack, DialFor, Dialled, DialOutcome

from .internet import Frames, InternetCase


class HelperTests(InternetCase):
    def test_peer_without_a_helper_says_so_at_once(self) -> None:
        """Nothing has been tried, so nothing is denied."""
        p, (a,) = self.star(1)
        at_p = Frames(self.net, p)
        self.check(a)
        self.assertEqual([each.outcome for _, each in at_p.of(23)], [DialOutcome.NOT_TRIED])
        self.assertEqual(self.net.crust(a).denials, [])

    def test_next_helper_is_asked_when_one_fails(self) -> None:
        """One may not dial, one goes away, one does not answer."""
        p, (a, *helpers) = self.star(4)
        crusts = {each.node_name: self.net.crust(each) for each in helpers}
        for each in crusts.values():
            each.dial_back_gives = None
        at_p = Frames(self.net, p)
        self.check(a)
        ((first, _),) = at_p.of(21)
        crusts[first].waiting.pop().errback(LimitReached("too many", "stranger_dials", 1))
        self.net.settle(1)
        second = at_p.of(21)[1][0]
        p._core.links.drop(second, CloseReason.NO_LONGER_NEEDED)
        self.net.settle(1)
        third = at_p.of(21)[2][0]
        self.assertEqual(len({first, second, third}), 3)
        self.assertEqual(at_p.of(23), [])
        self.net.settle(HELPER_WAIT_SECONDS)
        self.assertEqual([each.outcome for _, each in at_p.of(23)], [DialOutcome.NOT_TRIED])

    def test_helper_that_knows_the_asker_reports_nothing_but_its_failure(self) -> None:
        """Knowing means a link with it, or one with its address: a filter may let the helper in for that."""
        p, (a, q) = self.star(2)
        endpoints = tuple(map(to_wire, self.net.crust(p).endpoints))
        at_q = Frames(self.net, q)
        for good in (True, False):
            self.net.crust(q).dial_back_gives = good
            for name in (p.node_name, a.node_name):
                self.send(p, q, FrameKind.DIAL_FOR, DialFor(7, name.raw, endpoints))
            self.net.settle(1)
        outcomes = [each.outcome for _, each in at_q.of(22)]
        self.assertEqual(outcomes, [DialOutcome.NOT_TRIED] * 2 + [DialOutcome.NOT_REACHED] * 2)
        self.assertEqual(len(self.net.crust(q).dialled_for), 4)

    def test_helper_does_not_dial_itself(self) -> None:
        p, (_, q) = self.star(2)
        at_q = Frames(self.net, q)
        endpoints = tuple(map(to_wire, self.net.crust(q).endpoints))
        self.send(p, q, FrameKind.DIAL_FOR, DialFor(7, q.node_name.raw, endpoints))
        self.net.settle(1)
        self.assertEqual([each for _, each in at_q.of(22)], [Dialled(7, DialOutcome.NOT_TRIED)])
        self.assertEqual(self.net.crust(q).dialled_for, [])

    def test_helper_in_the_peers_own_network_is_not_asked(self) -> None:
        """A node with a private address would dial from the peer's own address."""
        first = self.net.node()
        a = self.net.node()
        settings = Settings(lan_discovery=False, contacts=(self.net.contact(first),))
        near = self.net.make(self.net.identity(), settings, endpoints=(Endpoint("10.0.0.7", 5483),))
        self.net.nodes.append(near)
        near.startService()
        self.net.run(lambda: len(first._core.links.peers) == 2)
        peer = first._core.links.peer(a.node_name)
        assert peer is not None
        self.assertEqual(first._core.reachability._helper._helpers_for(peer), [])

    def test_asker_that_names_a_victims_address_loses_its_link(self) -> None:
        """No node dials that address."""
        p, (a, q) = self.star(2)
        victim = to_wire(Endpoint("9.9.9.9", 5483))
        own = to_wire(self.net.crust(a).endpoints[0])
        for sender, endpoints in ((a, (victim,)), (q, (own, victim))):
            link = p._core.links.link_to(sender.node_name)
            self.assertIn(link, self.net.crust(p).links)
            self.send(sender, p, FrameKind.DIAL_BACK, DialBack(1, endpoints))
            self.net.settle(0.5)
            self.assertNotIn(link, self.net.crust(p).links)
        self.assertEqual(self.net.crust(q).dialled_for + self.net.crust(a).dialled_for, [])

    def test_thousand_requests_of_an_asker_cause_few_dials(self) -> None:
        """The others are not answered."""
        p, (a, q) = self.star(2)
        at_p = Frames(self.net, p)
        own = (to_wire(self.net.crust(a).endpoints[0]),)
        for number in range(1000):
            self.send(a, p, FrameKind.DIAL_BACK, DialBack(number, own))
        self.net.settle(60)
        self.assertLessEqual(len(self.net.crust(q).dialled_for), 2 * ASKED_PER_MINUTE + 1)
        self.assertLessEqual(len(at_p.sent), 4 * ASKED_PER_MINUTE + 2)

    def test_thousand_orders_of_a_peer_cause_few_dials(self) -> None:
        """They are bounded at once and from then on."""
        p, (a, q) = self.star(2)
        crust = self.net.crust(q)
        crust.dial_back_gives = False
        victim = (to_wire(Endpoint("9.9.9.9", 5483)),)
        for minute in range(3):
            for number in range(1000):
                self.send(p, q, FrameKind.DIAL_FOR, DialFor(number, a.node_name.raw, victim))
            self.net.settle(60)
            self.assertLessEqual(len(crust.dialled_for), (2 + minute) * ORDERED_PER_MINUTE + 1)

    def test_slow_dials_of_a_peer_keep_no_other_from_help(self) -> None:
        """It may name addresses that do not answer, as many as it may name at all."""
        p, (a, q) = self.star(2)
        crust = self.net.crust(p)
        crust.dial_back_gives = None
        victim = (to_wire(Endpoint("9.9.9.9", 5483)),)
        for number in range(100):
            self.send(q, p, FrameKind.DIAL_FOR, DialFor(number, a.node_name.raw, victim))
        self.net.settle(1)
        slow = len(crust.waiting)
        self.assertGreater(slow, 4)
        self.send(a, p, FrameKind.DIAL_FOR, DialFor(1, q.node_name.raw, victim))
        self.net.settle(1)
        self.assertEqual(len(crust.waiting), slow + 1)
        for each in crust.waiting:
            each.errback(ConnectFailed(()))

    def test_asker_beyond_the_limit_is_not_helped(self) -> None:
        p, (a, q) = self.star(2)
        helper = p._core.reachability._helper
        for number in range(MAX_JOBS):
            helper._jobs[-1 - number] = next(iter(helper._jobs.values()), None) or _job(
                self.net.identity().name
            )
        own = (to_wire(self.net.crust(a).endpoints[0]),)
        self.send(a, p, FrameKind.DIAL_BACK, DialBack(1, own))
        self.net.settle(1)
        self.assertEqual(self.net.crust(q).dialled_for, [])
        helper._jobs.clear()

    def test_tunnels_and_clients_take_no_part(self) -> None:
        """The address at the end of a tunnel is not the peer's."""
        p, (a, q) = self.star(2)
        link: Any = p._core.links.link_to(a.node_name)
        link.path_kind = PathKind.TUNNEL
        own = tuple(map(to_wire, self.net.crust(a).endpoints))
        self.send(a, p, FrameKind.DIAL_BACK, DialBack(1, own))
        self.send(a, p, FrameKind.DIAL_FOR, DialFor(1, q.node_name.raw, own))
        client = self.net.make_client()
        self.net.run(lambda: client.bootstrapped)
        self.send(client, p, FrameKind.DIAL_BACK, DialBack(1, own))
        self.net.settle(SOON_SECONDS * 2)
        self.assertEqual(self.net.crust(q).dialled_for, [])
        self.assertEqual(self.net.crust(p).dialled_for, [])
        self.assertIs(client._core.reachability._timer, None)
        proxy = client._core.links.peers[0]
        self.assertIs(client._core.reachability._helper._peer(proxy.link), None)
        self.net.result(client.stopService())

    def test_quota_limits_each_peer_and_all_together(self) -> None:
        """What one peer has used up is used up for it alone, until all of it is."""
        quota = Quota(1, 4, self.net.clock.seconds)
        links = [_link(number, f"{60 + number}.1.2.3") for number in range(9)]
        self.assertEqual([quota.take(links[0]) for _ in range(4)], [True, True, False, False])
        self.assertEqual([quota.take(each) for each in links[1:]], [True] * 6 + [False] * 2)
        self.assertFalse(quota.take(links[0]))
        self.net.clock.advance(ALL_SECONDS)
        self.assertTrue(quota.take(links[0]))
        self.assertLessEqual(ASKED_PER_MINUTE, IN_ALL_PER_MINUTE)

    def test_keys_of_one_prefix_leave_a_quota_to_others(self) -> None:
        quota = Quota(1, 4, self.net.clock.seconds)
        crowd = [quota.take(_link(number, f"81.5.6.{number}")) for number in range(1, 9)]
        self.assertEqual(crowd, [True] * 4 + [False] * 4)
        self.assertTrue(quota.take(_link(9, "62.1.2.3")))
        # a link that is lost and made again gives its prefix no more
        self.assertFalse(quota.take(_link(1, "81.5.6.1")))


def _link(number: int, host: str) -> Any:
    at = Connection(Protocol.TCP, Endpoint(host, 5483), Endpoint("192.0.2.1", 5483))
    return SimpleNamespace(peer=Name(bytes([number]) * 32), connection=at)


def _job(name: Name) -> Any:
    return _Job(name, 1, (), [])
