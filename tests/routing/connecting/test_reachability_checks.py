"""Reachability checks: when they are made, and what follows from them. Whole nodes on a fake clock."""

from __future__ import annotations

from routing_crust import RoutingService, Settings
from routing_crust.crust.reachability import Dialable
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason
from routing_crust.limits import DIAL_TIMEOUT_SECONDS
from routing_crust.routing.connecting.dial_back_helper import (
    HELPER_WAIT_SECONDS,
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
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Dialled, DialOutcome, NatKind

from .internet import Frames, InternetCase


class ReachabilityTests(InternetCase):
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
