"""
Reachability checks and dialling back: whole nodes on a fake clock, with a crust that is told what it would
find out on the internet.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, RoutingService, Settings
from routing_crust.crust.interfaces import ILink, Rendezvous
from routing_crust.crust.reachability import Dialable, Reachability
from routing_crust.endpoints import Connection, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, ConnectFailed, LimitReached
from routing_crust.identity import Identity
from routing_crust.limits import DIAL_TIMEOUT_SECONDS
from routing_crust.names import Name
from routing_crust.routing.connecting.dial_back_helper import (
    ALL_SECONDS,
    ASKED_PER_MINUTE,
    HELPER_WAIT_SECONDS,
    IN_ALL_PER_MINUTE,
    MAX_DIALS,
    MAX_JOBS,
    ORDERED_PER_MINUTE,
    Quota,
)
from routing_crust.routing.connecting.reachability_checks import (
    CHANGED_PAUSE_SECONDS,
    HELLO_WAIT_SECONDS,
    INTERVAL_SECONDS,
    MAX_ASKED,
    PAUSE_SECONDS,
    RETRIES_AFTER_A_CHANGE,
    SOON_SECONDS,
)
from routing_crust.routing.events import ReachabilityChanged
from routing_crust.timing.shares import Account
from routing_crust.wire.codec import decode, encode, to_wire
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import DialBack, DialFor, Dialled, DialOutcome, NatKind

from ..net import Net, RecordingCrust


class InternetCrust(RecordingCrust):
    """
    A crust on the internet at large.

    @ivar dialable: what it knows of itself.
    @ivar dial_back_gives: the result of dials for others: whether they succeed, or a failure; C{None} if they
        do not end.
    @ivar dialled_for: the nodes that it has dialled for others, with their endpoints.
    @ivar useful: the endpoints that it would dial to be seen there.
    """

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self.outside = self.listening
        self.nat = NatKind.UNKNOWN
        self.dialable = Dialable.UNKNOWN
        self.dial_back_gives: bool | Exception | None = True
        self.dialled_for: list[tuple[Name, tuple[Endpoint, ...]]] = []
        self.waiting: list[Deferred[Endpoint]] = []
        self.useful: set[Endpoint] = set()
        self.dialled: list[Endpoint] = []

    @property
    def reachability(self) -> Reachability:
        return Reachability(self.nat, self.dialable, 0.0)

    def set_dialable(self, dialable: Dialable) -> None:
        self.dialable = dialable
        self.nat = NatKind.OPEN if dialable is Dialable.YES else NatKind.UNKNOWN
        self._tell(self._events.reachability_changed, self.reachability)

    def may_observe(self, endpoint: Endpoint) -> bool:
        return endpoint in self.useful

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        if not token:
            self.dialled += endpoints
        return super().connect(endpoints, peer, token, asked_by, rendezvous)

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Deferred[Endpoint]:
        self.dialled_for.append((peer, tuple(endpoints)))
        if self.dial_back_gives is None:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        if self.dial_back_gives is True:
            return succeed(endpoints[0])
        return fail(self.dial_back_gives or ConnectFailed(()))


class Internet(Net):
    """A network of nodes with such a crust."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.last = 0

    def make(self, identity: Identity, settings: Settings, **options: Any) -> RoutingService:
        self.last += 1
        options.setdefault("endpoints", (Endpoint(f"9.0.{self.last}.1", 5483),))
        crust = InternetCrust(self.network, settings, identity, **options)
        return RoutingService(
            settings, reactor=self.clock, identity=identity, crust=crust, random=self.random
        )

    def node(self, role: Role | None = None, **options: Any) -> RoutingService:
        return super().node(role, **options)

    def crust(self, node: RoutingService) -> InternetCrust:
        crust = node._crust
        assert isinstance(crust, InternetCrust)
        return crust


class Frames:
    """The frames of dialling back that a node sends."""

    def __init__(self, net: Internet, node: RoutingService) -> None:
        self.sent: list[tuple[Name, int, Any]] = []
        types = {20: DialBack, 21: DialFor, 22: Dialled, 23: Dialled}
        for link in net.crust(node).links:
            self._watch(link, types)

    def _watch(self, link: Any, types: dict[int, type]) -> None:
        send = link.send

        def watched(kind: int, payload: bytes) -> None:
            if kind in types:
                self.sent.append((link.peer, int(kind), decode(types[kind], payload)))
            send(kind, payload)

        link.send = watched

    def of(self, kind: int) -> list[tuple[Name, Any]]:
        return [(peer, message) for peer, each, message in self.sent if each == kind]


class ReachabilityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Internet()
        self.addCleanup(self.net.stop)

    def star(self, arms: int) -> tuple[RoutingService, list[RoutingService]]:
        """One node that is linked with all others, and these with no other; no check is under way."""
        first, *others = self.net.grow(1 + arms)
        for each in (first, *others):
            each._core.joiner.wake = lambda: None  # type: ignore[method-assign]
            each._core.joiner.rest()
            each._core.prober.stop()
            each._core.reachability.rest()
        for one in others:
            for other in others:
                one._core.links.drop(other.node_name, CloseReason.NO_LONGER_NEEDED)
        self.net.settle(1)
        self.assertEqual(len(first._core.links.peers), arms)
        for one in others:
            self.assertEqual([each.name for each in one._core.links.peers], [first.node_name])
        for each in self.net.nodes:
            self.net.crust(each).dialled.clear()
            self.net.crust(each).dialled_for.clear()
        return first, others

    def check(self, node: RoutingService) -> Frames:
        """Have a check made, soon."""
        frames = Frames(self.net, node)
        node._core.reachability.start()
        self.net.settle(SOON_SECONDS * 2)
        return frames

    def send(self, node: RoutingService, peer: RoutingService, kind: FrameKind, message: Any) -> None:
        """Have a node send a frame of its own making."""
        link = node._core.links.link_to(peer.node_name)
        assert link is not None
        link.send(kind, encode(message))

    # The exchange.

    def test_helper_dials_the_asker_where_the_peer_sees_it(self) -> None:
        """A asks P, P asks Q, and Q dials A."""
        p, (a, q) = self.star(2)
        at_p = Frames(self.net, p)
        at_a = self.check(a)
        own = self.net.crust(a).endpoints
        self.assertEqual(self.net.crust(q).dialled_for, [(a.node_name, own)])
        self.assertEqual([peer for peer, _ in at_a.of(20)], [p.node_name])
        self.assertEqual([peer for peer, _ in at_p.of(21)], [q.node_name])
        ((peer, message),) = at_p.of(23)
        self.assertEqual((peer, message.outcome), (a.node_name, DialOutcome.REACHED))
        self.assertEqual(message.id, at_a.of(20)[0][1].id)
        self.assertEqual(self.net.crust(a).denials, [])
        self.assertEqual(self.net.crust(p).dialled_for, [])

    def test_crust_is_told_which_peer_could_not_have_us_reached(self) -> None:
        p, (a, q) = self.star(2)
        self.net.crust(q).dial_back_gives = False
        self.check(a)
        self.assertEqual(self.net.crust(a).denials, [p.node_name])

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

    def test_nothing_is_left_when_the_asker_goes(self) -> None:
        """A late report makes no difference."""
        p, (a, q) = self.star(2)
        self.net.crust(q).dial_back_gives = None
        self.check(a)
        self.net.result(a.stopService())
        self.net.settle(1)
        helper = p._core.reachability._helper
        self.assertEqual(helper._jobs, {})
        at_p = Frames(self.net, p)
        self.net.crust(q).waiting.pop().callback(Endpoint("9.9.9.9", 1))
        self.net.settle(1)
        self.assertEqual(at_p.of(23), [])

    # When checks are made.

    def test_checks_are_repeated_but_not_in_quick_succession(self) -> None:
        """One is made about every ten minutes, and one when something has changed."""
        _, (a, _) = self.star(2)
        self.net.crust(a).dialable = Dialable.NO
        frames = self.check(a)
        self.net.settle(INTERVAL_SECONDS * 1.2)
        self.assertEqual(len(frames.of(20)), 2)
        self.net.settle(PAUSE_SECONDS)
        crust = self.net.crust(a)
        for _ in range(3):
            crust._events.external_endpoints(crust.endpoints)
        self.net.settle(SOON_SECONDS * 2)
        self.assertEqual(len(frames.of(20)), 3)
        crust._events.external_endpoints(crust.endpoints)
        self.net.settle(SOON_SECONDS * 2)
        self.assertEqual(len(frames.of(20)), 3)
        self.net.settle(PAUSE_SECONDS)
        self.assertEqual(len(frames.of(20)), 4)

    def test_checks_are_repeated_sooner_while_nothing_is_known(self) -> None:
        """After half a minute, then after twice as long each time, up to ten minutes."""
        _, (a, _) = self.star(2)
        frames = self.check(a)
        waits = [30, 60, 120, 240, 480, 600, 600]
        for count, wait in enumerate(waits, start=1):
            self.assertEqual(len(frames.of(20)), count)
            before = self.net.clock.seconds()
            self.net.run(lambda count=count: len(frames.of(20)) > count, 1.2 * wait + 1)  # type: ignore[misc]
            self.assertGreater(self.net.clock.seconds() - before, 0.8 * wait - 2 * SOON_SECONDS)

    def test_check_follows_soon_when_the_network_of_the_host_has_changed(self) -> None:
        """However short a time ago the last one was, but not each time when the changes do not end."""
        _, (a, _) = self.star(2)
        frames = self.check(a)
        self.assertEqual(len(frames.of(20)), 1)
        for seconds in range(20):
            a._core.network_changed()
            self.net.settle(1)
            self.assertLessEqual(len(frames.of(20)), 2 + seconds / CHANGED_PAUSE_SECONDS)
        self.assertGreaterEqual(len(frames.of(20)), 3)
        a._core.reachability.rest()
        a._core.network_changed()
        self.assertIsNone(a._core.reachability._timer)

    def test_nothing_is_asked_in_a_private_network(self) -> None:
        """A peer is not asked about an address at which it does not see us, either."""
        _, (a, _) = self.star(2)
        self.net.crust(a).outside = ()
        self.assertEqual(self.check(a).sent, [])
        # at an address that the peer does not see us at it could not do anything either
        self.net.crust(a).outside = (Endpoint("9.9.9.9", 1),)
        self.net.settle(INTERVAL_SECONDS * 1.2)
        self.assertEqual(Frames(self.net, a).sent, [])

    def test_failure_of_one_peer_does_not_disprove_that_we_can_be_dialled(self) -> None:
        """A node that was dialled before asks other peers first."""
        first, second, a, third = (self.net.node() for _ in range(4))
        self.net.run(lambda: len(a._core.links.peers) == 3)
        self.net.settle(PAUSE_SECONDS)
        self.net.crust(a).dialable = Dialable.YES
        a._core.reachability.rest()
        asked = []
        for each in (first, second, third):
            each._core.reachability._helper._knows = lambda name, endpoints: False  # type: ignore[method-assign]
            self.net.crust(each).dial_back_gives = False
            asked.append(each.node_name)
        self.check(a)
        self.assertEqual(sorted(self.net.crust(a).denials), sorted(asked))
        self.assertEqual(len(asked), MAX_ASKED)

    def test_answer_of_a_lost_peer_is_not_waited_for(self) -> None:
        """Another peer is asked, if there is one."""
        p, (a, q) = self.star(2)
        self.net.crust(q).dial_back_gives = None
        self.check(a)
        checks = a._core.reachability
        self.assertEqual(checks._waiting, p.node_name)
        a._core.links.drop(p.node_name, CloseReason.NO_LONGER_NEEDED)
        self.assertIs(checks._waiting, None)

    def test_peer_that_does_not_answer_is_given_up(self) -> None:
        """It denies nothing by that."""
        p, (a, _) = self.star(2)
        p._core.reachability._helper.dial_back = lambda link, payload: None  # type: ignore[method-assign]
        p._core.reachability._frames[FrameKind.DIAL_BACK] = lambda link, payload: None
        self.check(a)
        self.assertEqual(a._core.reachability._waiting, p.node_name)
        self.net.settle(3 * HELPER_WAIT_SECONDS + HELLO_WAIT_SECONDS)
        self.assertIs(a._core.reachability._waiting, None)
        self.assertEqual(self.net.crust(a).denials, [])

    def test_unexpected_answers_are_ignored(self) -> None:
        """That is: of a peer that was not asked, or with another number."""
        p, (a, q) = self.star(2)
        for number in range(3):
            self.send(p, a, FrameKind.DIALLED_BACK, Dialled(number, DialOutcome.NOT_REACHED))
            self.send(q, p, FrameKind.DIALLED, Dialled(number, DialOutcome.NOT_REACHED))
        self.net.settle(1)
        self.assertEqual(self.net.crust(a).denials, [])
        self.assertEqual(len(p._core.links.peers), 2)

    # Being seen.

    def test_peer_that_has_not_seen_our_port_is_dialled_again(self) -> None:
        """The new link is closed, and the first one stays."""
        p, (a,) = self.star(1)
        link = a._core.links.link_to(p.node_name)
        place = a._core.contacts.dialable_at(a._core.links.peer(p.node_name))
        assert place is not None
        self.net.crust(a).useful = {place}
        self.net.crust(a).dialled.clear()
        self.check(a)
        self.assertEqual(self.net.crust(a).dialled, [place])
        self.net.settle(20)
        self.assertIs(a._core.links.link_to(p.node_name), link)
        self.assertEqual(len(self.net.crust(a).links), 1)
        self.assertEqual(self.net.crust(a).seen[p.node_name].host, self.net.crust(a).host)

    def test_saved_contact_without_a_link_is_dialled_to_be_seen(self) -> None:
        """Its link is closed, too."""
        _, (a, q) = self.star(2)
        contact = self.net.contact(q)
        self.net.crust(a).remember(contact)
        self.net.crust(a).useful = {contact.endpoint}
        self.check(a)
        self.net.settle(HELLO_WAIT_SECONDS + 1)
        self.assertIn(q.node_name, self.net.crust(a).seen)
        self.assertIs(a._core.links.link_to(q.node_name), None)
        self.assertEqual(a._core.reachability._observers, [])

    def test_observer_that_does_not_answer_after_a_change_is_dialled_again_soon(self) -> None:
        """Without a change it has time until the next check."""
        _, (a, q) = self.star(2)
        crust = self.net.crust(a)
        contact = self.net.contact(q)
        crust.remember(contact)
        crust.useful = {contact.endpoint}
        # while that is not known checks are made sooner anyway
        crust.dialable = Dialable.NO
        self.net.crash(q)
        self.check(a)
        self.net.settle(INTERVAL_SECONDS / 2)
        self.assertEqual(len(crust.dialled), 1)
        a._core.network_changed()
        self.net.settle(INTERVAL_SECONDS / 2 - 100)
        self.assertEqual(len(crust.dialled), 2 + RETRIES_AFTER_A_CHANGE)

    def test_tunnels_are_tried_again_when_we_are_seen_elsewhere(self) -> None:
        """Where one network sees us is not announced, but makes another attempt worth it."""
        _, (a, q) = self.star(2)
        crust = self.net.crust(a)
        contact = self.net.contact(q)
        crust.remember(contact)
        crust.useful = {contact.endpoint}
        woken: list[tuple[Endpoint, ...]] = []
        self.patch(a._core.tunnels, "wake", lambda: woken.append(crust.outside))
        self.check(a)
        self.net.settle(HELLO_WAIT_SECONDS)
        self.assertEqual(woken, [], "all is as it was")
        elsewhere = (Endpoint("9.9.9.9", 1024),)
        self.patch(crust, "observed", lambda link, endpoint: setattr(crust, "outside", elsewhere))
        a._core.network_changed()
        self.assertEqual(len(woken), 1)
        self.net.settle(CHANGED_PAUSE_SECONDS + SOON_SECONDS + HELLO_WAIT_SECONDS)
        self.assertEqual(woken[1:], [elsewhere])

    def test_next_observer_is_dialled_when_one_is_gone(self) -> None:
        p, (a, q) = self.star(2)
        contacts = [self.net.contact(each) for each in (p, q)]
        for each in contacts:
            self.net.crust(a).remember(each)
        self.net.crust(a).useful = {each.endpoint for each in contacts}
        self.net.crash(q)
        self.net.crust(a).dialled.clear()
        self.check(a)
        self.net.settle(DIAL_TIMEOUT_SECONDS + HELLO_WAIT_SECONDS)
        self.assertEqual(set(self.net.crust(a).dialled), self.net.crust(a).useful)

    def test_stop_leaves_no_delayed_call(self) -> None:
        """Whatever was under way."""
        p, (a, q) = self.star(2)
        crust = self.net.crust(a)
        contact = self.net.contact(q)
        crust.remember(contact)
        crust.useful = {contact.endpoint}
        self.net.crust(q).dial_back_gives = None
        a._core.reachability.start()
        self.net.run(lambda: a._core.reachability._dial is not None)
        self.net.result(a.stopService())
        self.net.result(p.stopService())
        self.net.result(q.stopService())
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_link_that_comes_up_after_rest_is_closed(self) -> None:
        """And L{wake} does not begin to check again."""
        _, (a, q) = self.star(2)
        contact = self.net.contact(q)
        crust = self.net.crust(a)
        crust.remember(contact)
        crust.useful = {contact.endpoint}
        checks = a._core.reachability
        checks.start()
        self.net.run(lambda: checks._dial is not None)
        timer, checks._timer = checks._timer, None
        timer.cancel()
        self.net.settle(30)
        self.assertIs(a._core.links.link_to(q.node_name), None)
        checks.wake()
        self.assertIs(checks._timer, None)

    # Attacks.

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
        """They are bounded at once, from then on, and in how many run at a time."""
        p, (a, q) = self.star(2)
        crust = self.net.crust(q)
        crust.dial_back_gives = False
        victim = (to_wire(Endpoint("9.9.9.9", 5483)),)
        for minute in range(3):
            for number in range(1000):
                self.send(p, q, FrameKind.DIAL_FOR, DialFor(number, a.node_name.raw, victim))
            self.net.settle(60)
            self.assertLessEqual(len(crust.dialled_for), (2 + minute) * ORDERED_PER_MINUTE + 1)
        crust.dial_back_gives = None
        self.net.settle(600)
        for number in range(MAX_DIALS + 1):
            self.send(p, q, FrameKind.DIAL_FOR, DialFor(number, a.node_name.raw, victim))
        self.net.settle(1)
        self.assertEqual(len(crust.waiting), MAX_DIALS)

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

    # What others are told.

    def test_only_peers_that_can_be_dialled_are_contacts(self) -> None:
        """Those that we have dialled, and those that say they are open, at the address that we see."""
        p, (a, _) = self.star(2)
        contacts = p._core.contacts
        peer = p._core.links.peer(a.node_name)
        assert peer is not None
        dialled = p._core.links.dialled_at(a.node_name)
        self.assertEqual(contacts.dialable_at(peer), dialled)
        p._core.links._peer_links[a.node_name].dialled = None
        self.assertIs(contacts.dialable_at(peer), None)
        object.__setattr__(peer.facts, "nat", NatKind.OPEN)
        self.assertEqual(contacts.dialable_at(peer), self.net.crust(a).endpoints[0])
        object.__setattr__(peer.facts, "listening", (Endpoint("9.9.9.9", 1),))
        self.assertIs(contacts.dialable_at(peer), None)
        object.__setattr__(peer.facts, "is_client", True)
        self.assertIs(contacts.dialable_at(peer), None)
        self.assertIs(p._core.links.dialled_at(self.net.identity().name), None)

    def test_observers_hear_of_a_change_of_reachability(self) -> None:
        """The status tells the kind of our NAT, too."""
        _, (a, _) = self.star(2)
        heard: list[ReachabilityChanged] = []
        a.observe(ReachabilityChanged, heard.append)
        self.assertIs(a.nat, NatKind.UNKNOWN)
        self.net.crust(a).set_dialable(Dialable.YES)
        self.net.settle(1)
        self.assertEqual([each.reachability.dialable for each in heard], [Dialable.YES])
        self.assertIs(a.nat, NatKind.OPEN)
        status = a.status()
        self.assertEqual((status["nat"], status["dialable"]), ("open", "yes"))
        self.assertEqual(len(list(status["external"])), 1)  # type: ignore[call-overload]
        self.assertIs(RoutingService(Settings(), reactor=self.net.clock).nat, NatKind.UNKNOWN)


def _link(number: int, host: str) -> Any:
    at = Connection(Protocol.TCP, Endpoint(host, 5483), Endpoint("192.0.2.1", 5483))
    return SimpleNamespace(peer=Name(bytes([number]) * 32), connection=at)


def _job(name: Name) -> Any:
    from routing_crust.routing.connecting.dial_back_helper import _Job

    return _Job(name, 1, (), [])
