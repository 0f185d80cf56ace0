"""Dials of one endpoint by several paths, on a fake clock and without a network."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.dial.endpoint_dial import EndpointDial
from routing_crust.crust.dial.race import DialFailed
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.netstate.paths import DialPath, DialPaths
from routing_crust.crust.netstate.uplinks import Uplink
from routing_crust.crust.reachability import Presence
from routing_crust.endpoints import Endpoint
from routing_crust.errors import LimitReached

HOST = Endpoint("8.8.8.8", 5001)
LINK = cast(ILink, object())
WIFI, LINE = Uplink("wlan0", "192.168.1.2"), Uplink("wwan0", "10.0.0.2")
SYSTEM = DialPath()


class FakeDial:
    """One dial, whose end the test decides."""

    def __init__(self, path: DialPath) -> None:
        self.path = path
        self.outcome: Deferred[ILink] = Deferred(self._cancel)
        self.is_connected = self.cancelled = False
        self.timeout = 0.0

    def dial(self, timeout: float) -> None:
        self.timeout = timeout

    def _cancel(self, outcome: object) -> None:
        self.cancelled = True


class EndpointDialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.uplinks: list[Uplink] = []
        self.paths = DialPaths(lambda endpoint: self.uplinks, self.clock.seconds)
        self.dials: list[FakeDial] = []
        self.repeated = 0
        self.refusal: Exception | None = None

    def start(self, endpoint: Endpoint = HOST) -> EndpointDial:
        self.dials.clear()

        def make(path: DialPath) -> Any:
            self.dials.append(FakeDial(path))
            return self.dials[-1]

        def may_repeat() -> None:
            self.repeated += 1
            if self.refusal is not None:
                raise self.refusal

        dial = EndpointDial(self.clock, self.paths, endpoint, make, may_repeat)
        dial.start()
        return dial

    def advance(self, seconds: int) -> None:
        self.clock.pump([0.5] * 2 * seconds)

    def tried(self) -> list[DialPath]:
        return [each.path for each in self.dials]

    def fail_dial(self, number: int, presence: Presence = Presence.UNKNOWN) -> None:
        self.dials[number].outcome.errback(DialFailed("no answer", presence))

    def test_host_that_answers_at_once_is_dialled_once(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.dials[0].outcome.callback(LINK)
        self.assertIs(self.successResultOf(dial.outcome), LINK)
        self.assertEqual((self.tried(), dial.remark), ([SYSTEM], ""))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent_host_is_dialled_by_each_other_uplink_beside_the_first(self) -> None:
        self.uplinks = [WIFI, LINE]
        dial = self.start()
        self.clock.advance(0.9)
        self.assertEqual(self.tried(), [SYSTEM])
        self.advance(3)
        self.assertEqual(self.tried(), [SYSTEM, DialPath(WIFI), DialPath(LINE)])
        self.dials[1].outcome.callback(LINK)
        self.assertIs(self.successResultOf(dial.outcome), LINK)
        self.assertEqual(dial.remark, "by wlan0")
        self.assertEqual([each.cancelled for each in self.dials], [True, False, True])

    def test_host_behind_another_uplink_is_dialled_by_that_first_from_then_on(self) -> None:
        """Others are so once that has happened for hosts of two networks, until the network changes."""
        self.uplinks = [WIFI]
        others = [Endpoint(f"9.9.{number}.9", 5001) for number in range(3)]
        for host in others[:2]:
            self.start(host)
            self.assertEqual(self.tried(), [SYSTEM])
            self.advance(1)
            self.dials[1].outcome.callback(LINK)
            self.start(host)
            self.assertEqual(self.tried(), [DialPath(WIFI)])
            self.dials[0].outcome.callback(LINK)
        self.start(others[2])
        self.assertEqual(self.tried(), [DialPath(WIFI)])
        self.assertEqual(self.paths.problems.uplinks, ("wlan0",))
        self.advance(1)
        # where even that is silent, the choice of the system has its turn
        self.assertEqual(self.tried(), [DialPath(WIFI), SYSTEM])
        self.dials[1].outcome.callback(LINK)
        self.start(others[0])
        self.assertEqual((self.tried(), self.paths.problems.uplinks), ([SYSTEM], ()))

    def test_uplink_that_is_gone_is_not_dialled_by(self) -> None:
        self.uplinks = [WIFI]
        self.start()
        self.advance(1)
        self.dials[1].outcome.callback(LINK)
        self.uplinks = []
        self.start()
        self.assertEqual(self.tried(), [SYSTEM])

    def test_changed_network_makes_all_paths_be_found_out_anew(self) -> None:
        self.uplinks = [WIFI]
        self.start()
        self.advance(1)
        self.dials[1].outcome.callback(LINK)
        self.paths.small(HOST)
        self.paths.network_changed()
        self.start()
        self.assertEqual(self.tried(), [SYSTEM])

    def test_connection_that_stands_still_is_tried_with_smaller_segments(self) -> None:
        dial = self.start()
        self.dials[0].is_connected = True
        self.advance(2)
        self.assertEqual(self.tried(), [SYSTEM])
        self.advance(1)
        self.assertEqual(self.tried(), [SYSTEM, DialPath(None, 1200)])
        self.advance(3)
        self.assertEqual(self.tried(), [SYSTEM, DialPath(None, 1200), DialPath(None, 536)])
        self.advance(3)
        self.assertEqual(len(self.dials), 3)
        self.dials[2].outcome.callback(LINK)
        self.assertIs(self.successResultOf(dial.outcome), LINK)
        self.assertEqual(dial.remark, "with segments of 536 bytes")
        self.assertEqual(self.paths.problems.small_segments, {HOST.host: 536})

    def test_smaller_segments_are_remembered_for_an_hour(self) -> None:
        self.start()
        self.dials[0].is_connected = True
        self.advance(3)
        self.dials[1].outcome.callback(LINK)
        self.clock.advance(3599)
        self.start(Endpoint(HOST.host, 77))
        self.assertEqual(self.tried(), [DialPath(None, 1200)])
        self.clock.advance(2)
        self.start()
        self.assertEqual((self.tried(), self.paths.problems.small_segments), ([SYSTEM], {}))

    def test_line_that_loses_large_packets_to_many_has_them_small_for_all(self) -> None:
        for host in ("9.9.8.9", "9.9.8.10"):
            self.paths.small(Endpoint(host, 1))
        self.start()
        self.assertEqual(self.tried(), [SYSTEM])
        self.paths.small(Endpoint("9.9.9.9", 1))
        self.start()
        self.assertEqual(self.tried(), [DialPath(None, 1200)])

    def test_all_dials_of_an_endpoint_end_together(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.advance(2)
        self.assertEqual([each.timeout for each in self.dials], [10, 9])
        self.fail_dial(0)
        self.assertNoResult(dial.outcome)
        self.fail_dial(1)
        problem = self.failureResultOf(dial.outcome, DialFailed)
        self.assertEqual(problem.getErrorMessage(), "no answer, nor by wlan0")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_process_that_stood_still_begins_no_dial_after_the_end_of_the_first(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.clock.advance(11)
        self.assertEqual((self.tried(), self.repeated), ([SYSTEM], 0))
        self.fail_dial(0)
        self.failureResultOf(dial.outcome, DialFailed)

    def test_refusal_of_the_host_ends_all(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.advance(1)
        self.fail_dial(0, Presence.GONE)
        self.failureResultOf(dial.outcome, DialFailed)
        self.assertTrue(self.dials[1].cancelled)

    def test_refusal_by_another_uplink_ends_nothing(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.advance(1)
        self.fail_dial(1, Presence.GONE)
        self.assertNoResult(dial.outcome)
        self.dials[0].outcome.callback(LINK)
        self.successResultOf(dial.outcome)

    def test_lack_of_a_route_has_the_next_uplink_tried_at_once(self) -> None:
        self.uplinks = [WIFI]
        self.start()
        self.fail_dial(0, Presence.NO_WAY)
        self.assertEqual(self.tried(), [SYSTEM, DialPath(WIFI)])

    def test_dial_for_a_stranger_is_repeated_only_within_its_budget(self) -> None:
        self.uplinks = [WIFI]
        self.refusal = LimitReached("no more for this stranger", "", 1)
        dial = self.start()
        self.advance(2)
        self.assertEqual((self.tried(), self.repeated), ([SYSTEM], 1))
        self.fail_dial(0)
        self.failureResultOf(dial.outcome, DialFailed)

    def test_cancelled_dial_ends_all(self) -> None:
        self.uplinks = [WIFI]
        dial = self.start()
        self.advance(1)
        dial.outcome.cancel()
        self.failureResultOf(dial.outcome, CancelledError)
        self.assertEqual([each.cancelled for each in self.dials], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])
