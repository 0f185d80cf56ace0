"""The keeper of a port, on a fake clock, with a router that answers when the test says so."""

from __future__ import annotations

from math import inf
from random import Random

from twisted.internet.defer import Deferred

from routing_crust.crust.mapping.keeper import (
    FIRST_RETRY_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_WAIT_SECONDS,
    SETTLE_SECONDS,
    STOP_SECONDS,
    PortKeeper,
)
from routing_crust.crust.mapping.lease import Gateway, RouterAccess, UselessMapping

from ..addresses import at
from .keeper_case import KeeperTests
from .support import GATEWAY, OTHER, lease


class MappedTests(KeeperTests):
    def test_port_is_mapped_and_told(self) -> None:
        self.start()
        self.assertEqual(self.asked, [("NAT-PMP", "map", 5483, 5483, 7200)])
        self.assertEqual(self.routers[0].gateway, GATEWAY)
        there = lease()
        self.answer(there)
        self.assertEqual((self.keeper.lease, self.keeper.problem), (there, ""))
        self.assertEqual(self.told, [(None, there)])
        self.assertEqual(
            self.lines, ["the router at 192.168.1.1 maps 5.5.5.11:5483 to our port 5483 (NAT-PMP), for 2 h"]
        )

    def test_mapping_behind_a_second_router_is_told_as_useless(self) -> None:
        self.start()
        self.answer(lease("100.64.1.10:5483"))
        self.assertEqual(
            self.lines,
            [
                "the router at 192.168.1.1 maps 100.64.1.10:5483 to our port 5483 (NAT-PMP), for 2 h; "
                "only those behind the same router can dial it: this one is behind another itself"
            ],
        )

    def test_low_port_is_mapped_to_a_higher_one(self) -> None:
        """Peers dial no port below 1024 for a stranger."""
        self.listening = "0.0.0.0:443"
        self.start()
        ((_, _, local, wanted, _),) = self.asked
        self.assertEqual(local, 443)
        self.assertGreaterEqual(wanted, 1024)

    def test_mapping_is_checked_without_a_log_line(self) -> None:
        self.mapped()
        for _ in range(5):
            self.assertWaits(60)
            self.assertEqual(self.take_asked(), [("NAT-PMP", "holds", 5483)])
            self.answer(True)
        self.assertEqual((self.told, self.lines), ([], []))

    def test_mapping_is_renewed_at_half_its_lifetime(self) -> None:
        """The renewal requests the external port that it has."""
        there = self.mapped("5.5.5.11:6000", 100)
        for _ in range(3):
            self.assertWaits(50)
            self.assertEqual(self.take_asked(), [("NAT-PMP", "map", 5483, 6000, 7200)])
            self.answer(there)
        self.assertEqual((self.told, self.lines), ([], []))

    def test_mapping_is_checked_and_renewed(self) -> None:
        self.mapped(lifetime=240)
        for wait, question in ((60, "holds"), (60, "map"), (60, "holds"), (60, "map")):
            self.assertWaits(wait)
            self.assertEqual(self.take_asked()[0][1], question)
            self.answer(True if question == "holds" else lease(lifetime=240))

    def test_short_lifetime_does_not_make_requests_more_frequent(self) -> None:
        self.mapped(lifetime=1)
        self.assertWaits(MIN_WAIT_SECONDS)

    def test_permanent_mapping_is_checked_and_not_renewed(self) -> None:
        self.mapped(lifetime=inf)
        for _ in range(200):
            self.clock.advance(60)
            self.assertEqual(self.take_asked(), [("NAT-PMP", "holds", 5483)])
            self.answer(True)

    def test_lost_mapping_is_made_again_at_once(self) -> None:
        """No change is reported if it is the same as before."""
        there = self.mapped()
        self.clock.advance(60)
        self.answer(False)
        self.assertEqual(self.take_asked()[1:], [("NAT-PMP", "map", 5483, 5483, 7200)])
        self.answer(there)
        self.assertEqual((self.told, self.lines), ([], []))

    def test_new_external_address_is_told(self) -> None:
        there = self.mapped()
        self.clock.advance(60)
        self.answer(False)
        new = lease("5.5.5.99:5483")
        self.answer(new)
        self.assertEqual(self.told, [(there, new)])
        self.assertEqual(self.keeper.lease, new)
        self.assertIn("maps 5.5.5.99:5483 to our port", self.lines[0])

    def test_clock_that_is_set_back_causes_a_renewal(self) -> None:
        self.mapped()
        self.clock.rightNow = -1e6
        self.clock.calls[0].time = -1e6
        self.clock.advance(0)
        self.assertEqual(self.asked, [("NAT-PMP", "map", 5483, 5483, 7200)])


class LostTests(KeeperTests):
    def test_busy_router_does_not_lose_the_mapping(self) -> None:
        self.mapped()
        for _ in range(3):
            self.assertWaits(60)
            self.take_asked()
            self.answer("no answer")
        self.assertWaits(60)
        self.answer(True)
        self.assertEqual((self.told, self.lines), ([], []))

    def test_silent_router_loses_the_mapping_at_its_end(self) -> None:
        """Renewal is tried until then; afterwards a router is looked for at once."""
        there = self.mapped(lifetime=200)
        for wait, question in ((60, "holds"), (40, "map"), (60, "map"), (40, "map")):
            self.assertEqual(self.told, [])
            self.assertWaits(wait)
            self.assertEqual(self.take_asked()[0][1], question)
            self.answer("no answer")
        self.assertEqual(self.told, [(there, None)])
        self.assertIsNone(self.keeper.lease)
        self.assertEqual(
            self.lines, ["the router at 192.168.1.1 no longer maps 5.5.5.11:5483 to us (NAT-PMP: no answer)"]
        )
        self.assertEqual(self.asked, [("NAT-PMP", "map", 5483, 5483, 7200)])
        self.assertEqual(len(self.routers), 2)

    def test_silent_router_loses_a_permanent_mapping_in_time(self) -> None:
        """It is given up after the lifetime that we request."""
        self.lifetime = 120
        self.mapped(lifetime=inf)
        self.clock.advance(60)
        self.answer(True)
        self.clock.advance(60)
        self.answer("no answer")
        self.assertEqual(self.told, [])
        self.clock.advance(60)
        self.answer("no answer")
        self.assertEqual(len(self.told), 1)

    def test_mapping_refused_after_a_restart_is_lost_at_once(self) -> None:
        there = self.mapped()
        self.clock.advance(60)
        self.answer(False)
        self.answer("no more")
        self.assertEqual(self.told, [(there, None)])

    def test_router_found_again_gets_the_same_external_port(self) -> None:
        self.mapped("5.5.5.11:6000", lifetime=20)
        self.clock.advance(10)
        self.answer("no answer")
        self.clock.advance(10)
        self.take_asked()
        self.answer("no answer")
        self.assertEqual(self.take_asked(), [("NAT-PMP", "map", 5483, 6000, 7200)])
        self.answer(lease("5.5.5.11:6000"))
        self.assertEqual(self.told[-1], (None, lease("5.5.5.11:6000")))


class NobodyTests(KeeperTests):
    ways = ("NAT-PMP", "UPnP")

    def test_second_protocol_is_tried_after_the_first(self) -> None:
        self.start()
        self.answer("no answer")
        self.assertEqual([each[0] for each in self.asked], ["NAT-PMP", "UPnP"])
        there = lease(way="UPnP", lifetime=inf)
        self.answer(there)
        self.assertEqual(self.told, [(None, there)])
        self.assertEqual(
            self.lines,
            ["the router at 192.168.1.1 maps 5.5.5.11:5483 to our port 5483 (UPnP), until it is removed"],
        )

    def test_useless_mapping_is_removed_before_the_next_protocol_is_tried(self) -> None:
        for problem in (None, "no answer"):
            self.start()
            self.routers[-1].answer.errback(UselessMapping("it maps 127.0.0.1"))
            self.assertEqual(self.take_asked()[1:], [("NAT-PMP", "remove")])
            self.answer(problem)
            self.assertEqual(self.take_asked(), [("UPnP", "map", 5483, 5483, 7200)])

    def test_silent_removal_of_a_useless_mapping_is_not_waited_for(self) -> None:
        self.start()
        self.routers[-1].answer.errback(UselessMapping("it maps 127.0.0.1"))
        self.clock.advance(STOP_SECONDS)
        self.assertEqual(self.asked[-1], ("UPnP", "map", 5483, 5483, 7200))

    def test_stop_while_a_useless_mapping_is_removed_has_it_removed(self) -> None:
        self.start()
        self.routers[-1].answer.errback(UselessMapping("it maps 127.0.0.1"))
        self.take_asked()
        stopped = self.keeper.stop()
        self.assertEqual(self.take_asked(), [("NAT-PMP", "remove")])
        self.answer()
        self.successResultOf(stopped)
        self.assertEqual(len(self.routers), 1)

    def fail_once(self) -> None:
        self.answer("no answer")
        self.answer("no router answers")

    def test_failing_router_is_tried_less_and_less_often(self) -> None:
        """The problem is logged once."""
        self.start()
        wait = FIRST_RETRY_SECONDS
        for _ in range(8):
            self.take_asked()
            self.fail_once()
            self.take_asked()
            self.assertWaits(wait)
            wait = min(2 * wait, MAX_RETRY_SECONDS)
        self.assertEqual(wait, MAX_RETRY_SECONDS)
        problem = "the router at 192.168.1.1 does not (NAT-PMP: no answer; UPnP: no router answers)"
        self.assertEqual(self.keeper.problem, problem)
        self.assertEqual(
            self.lines,
            [
                f"no router maps our port 5483: {problem}. This is tried again in 2 min, "
                "or when the network changes"
            ],
        )
        self.assertEqual(self.told, [])

    def test_success_makes_the_waits_short_again(self) -> None:
        self.start()
        self.fail_once()
        self.clock.advance(FIRST_RETRY_SECONDS)
        self.answer(lease(lifetime=20))
        self.assertEqual(self.keeper.problem, "")
        self.clock.advance(10)
        self.answer("no answer")
        self.clock.advance(10)
        self.answer("no answer")
        self.fail_once()
        self.take_asked()
        self.assertWaits(FIRST_RETRY_SECONDS)

    def assertObjection(self, text: str) -> None:
        self.start()
        self.assertEqual((self.asked, self.keeper.problem), ([], text))
        self.assertEqual(len(self.lines), 1)

    def test_missing_gateway_is_looked_for_again(self) -> None:
        self.gateway = None
        self.assertObjection("this host has no gateway")
        self.gateway = GATEWAY
        self.assertWaits(FIRST_RETRY_SECONDS)

    def test_host_with_a_public_address_maps_nothing(self) -> None:
        """The provider's router is left alone."""
        self.gateway = Gateway("8.8.8.1", "8.8.8.8")
        self.assertObjection("this host has a public address itself")

    def test_port_on_another_interface_is_not_mapped(self) -> None:
        self.listening = "10.0.0.7:5483"
        self.assertObjection("it is not at 192.168.1.5, our address towards the router")

    def test_port_on_the_gateways_interface_is_mapped(self) -> None:
        self.listening = f"{GATEWAY.local}:5483"
        self.start()
        self.assertNotEqual(self.asked, [])


class ChangeTests(KeeperTests):
    def test_new_router_is_asked_soon(self) -> None:
        """The mapping by the old one is lost."""
        there = self.mapped()
        self.gateway = OTHER
        self.keeper.network_changed()
        self.assertWaits(SETTLE_SECONDS)
        self.assertEqual(self.asked, [("NAT-PMP", "map", 5483, 5483, 7200)])
        self.assertEqual(self.routers[-1].gateway, OTHER)
        self.assertEqual(self.told, [(there, None)])
        self.assertEqual(
            self.lines,
            ["the router at 192.168.1.1 no longer maps 5.5.5.11:5483 to us (the network has changed)"],
        )

    def test_network_change_checks_the_mapping(self) -> None:
        self.mapped()
        self.keeper.network_changed()
        self.assertWaits(SETTLE_SECONDS)
        self.assertEqual(self.asked, [("NAT-PMP", "holds", 5483)])

    def test_network_change_cuts_the_wait_short(self) -> None:
        """The next waits are as at the start."""
        self.start()
        for _ in range(4):
            self.answer("no answer")
            self.clock.advance(MAX_RETRY_SECONDS)
        self.answer("no answer")
        self.take_asked()
        self.keeper.network_changed()
        self.assertWaits(SETTLE_SECONDS)
        self.take_asked()
        self.answer("no answer")
        self.assertWaits(FIRST_RETRY_SECONDS)

    def test_burst_of_changes_is_waited_for_once(self) -> None:
        """Later changes do not prolong the wait after the first."""
        self.mapped()
        for _ in range(7):
            self.keeper.network_changed()
            self.clock.advance(SETTLE_SECONDS / 8)
        self.assertEqual(self.asked, [])
        self.clock.advance(SETTLE_SECONDS / 8)
        self.assertEqual(len(self.asked), 1)

    def test_network_change_during_a_request_is_handled_after_it(self) -> None:
        self.start()
        self.keeper.network_changed()
        self.gateway = OTHER
        self.answer(lease())
        self.take_asked()
        self.assertWaits(MIN_WAIT_SECONDS if MIN_WAIT_SECONDS < SETTLE_SECONDS else SETTLE_SECONDS)
        self.assertEqual(self.routers[-1].gateway, OTHER)


class StopTests(KeeperTests):
    def stop(self) -> Deferred[None]:
        return self.keeper.stop()

    def assertStopped(self, stopped: Deferred[None]) -> None:
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(self.keeper.lease)

    def test_stop_has_the_router_remove_the_mapping(self) -> None:
        self.mapped()
        stopped = self.stop()
        self.assertEqual(self.asked, [("NAT-PMP", "remove")])
        self.assertNoResult(stopped)
        self.answer()
        self.assertStopped(stopped)
        self.assertEqual(
            self.lines, ["the router at 192.168.1.1 no longer maps 5.5.5.11:5483 to us, as we have requested"]
        )
        self.assertEqual(self.told, [])

    def test_stop_does_not_wait_for_a_dead_router(self) -> None:
        self.mapped()
        stopped = self.stop()
        self.clock.advance(STOP_SECONDS - 0.01)
        self.assertNoResult(stopped)
        self.clock.advance(0.01)
        self.assertStopped(stopped)
        self.assertEqual(self.routers[0].cancelled, 1)
        self.assertEqual(
            self.lines,
            [
                "the router at 192.168.1.1 does not confirm that 5.5.5.11:5483 is no longer mapped to us "
                "(no answer); it was mapped for 2 h"
            ],
        )

    def test_stop_logs_a_router_that_refuses_to_remove(self) -> None:
        self.mapped(lifetime=inf)
        stopped = self.stop()
        self.answer("not allowed")
        self.assertStopped(stopped)
        self.assertIn("(not allowed); it was mapped until it is removed", self.lines[0])

    def test_stop_during_a_request_removes_the_mapping(self) -> None:
        """The router may have mapped the port by then."""
        self.start()
        stopped = self.stop()
        self.assertEqual(self.routers[0].cancelled, 1)
        self.assertEqual(self.asked[1:], [("NAT-PMP", "remove")])
        self.answer()
        self.assertStopped(stopped)
        self.assertEqual(self.lines, [])

    def test_stop_during_a_check_removes_the_mapping(self) -> None:
        self.mapped()
        self.clock.advance(60)
        stopped = self.stop()
        self.assertEqual(self.routers[0].cancelled, 1)
        self.answer()
        self.assertStopped(stopped)

    def test_stop_during_a_renewal_removes_the_mapping(self) -> None:
        self.mapped(lifetime=20)
        self.clock.advance(10)
        stopped = self.stop()
        self.clock.advance(STOP_SECONDS)
        self.assertStopped(stopped)

    def test_stop_without_a_router_removes_nothing(self) -> None:
        self.start()
        self.answer("no answer")
        self.take_asked()
        stopped = self.stop()
        self.assertEqual(self.asked, [])
        self.assertStopped(stopped)

    def test_stop_may_be_repeated_or_come_before_start(self) -> None:
        self.mapped()
        first, second = self.stop(), self.stop()
        self.successResultOf(second)
        self.answer()
        self.assertStopped(first)
        self.assertEqual(len(self.asked), 1)
        unused = PortKeeper(
            at("0.0.0.0:1"), 1, self.clock, Random(1), RouterAccess(lambda: None, []), lambda *_: None
        )
        self.successResultOf(unused.stop())

    def test_bug_is_logged_once_and_stop_still_ends(self) -> None:
        self.mapped()
        self.clock.advance(60)
        self.routers[-1].answer.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        stopped = self.stop()
        self.answer()
        self.assertStopped(stopped)

    def test_bug_leaves_nobody_waiting_for_what_the_router_says(self) -> None:
        asked = self.start().when_asked()
        self.routers[-1].answer.errback(ZeroDivisionError())
        self.successResultOf(asked)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
