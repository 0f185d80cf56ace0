"""
What a command in the foreground hears of the peers of an exposed program or a forwarded port.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError

from routing_crust.daemon.forward.exposer import Exposer
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.daemon.forward.peer_watch import (
    FIRST_RETRY_SECONDS,
    TELL_SECONDS,
    PeerWatch,
    tried_text,
)
from routing_crust.daemon.forward.reports import REPORTS_AT_ONCE, Reports
from routing_crust.endpoints import PathKind
from routing_crust.identity import Identity
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.routing.reporting.explain import AttemptExplained, CandidateExplained, Explanation

from .carrying_case import CarryingCase

NOBODY = Identity.from_seed(b"n" * 32).name


def attempt(where: str, outcome: str, good: bool = False) -> AttemptExplained:
    return AttemptExplained(1.0, "dial", where, outcome, good, 1)


class ReportsCase(CarryingCase):
    def setUp(self) -> None:
        super().setUp()
        self.heard: list[tuple[str, str]] = []

    def reports(self, service: Any) -> Reports:
        reports = Reports(service, lambda report: self.heard.append((report.event, report.text)))
        self.addCleanup(reports.stop)
        return reports

    def both_told(self) -> tuple[Exposer, PortForwarder]:
        exposer, forwarder = self.expose(self.client.node_name), self.forward()
        exposer.reports, forwarder.reports = self.reports(self.server), self.reports(self.client)
        return exposer, forwarder


class ReportsTests(ReportsCase):
    def test_each_end_hears_the_connection_type_once(self) -> None:
        self.both_told()
        for _ in range(2):
            self.open()
        self.assertEqual(self.heard, [("link", "connected, direct")] * 2)

    def test_other_connection_type_is_told(self) -> None:
        _, forwarder = self.both_told()
        self.open()
        self.heard.clear()
        assert self.client._core is not None
        peer = self.client._core.links.peer(self.server.node_name)
        assert peer is not None
        assert forwarder.reports is not None
        peer.link.path_kind = PathKind.PUNCHED  # type: ignore[misc]
        forwarder.reports._link(self.server.node_name)
        forwarder.reports._link(NOBODY)
        self.assertEqual(self.heard, [("link", "connected, punched")])

    def test_refused_peer_is_told_at_both_ends(self) -> None:
        exposer, forwarder = self.expose(NOBODY), self.forward()
        exposer.reports, forwarder.reports = self.reports(self.server), self.reports(self.client)
        near = self.port.connect()
        self.net.run(lambda: near.closed or len(self.heard) > 1)
        self.assertEqual(self.heard[0], ("refused", "refused: it is not among those that are allowed"))
        self.assertEqual(self.heard[1][0], "failed")
        self.assertIn("this protocol is not for this peer", self.heard[1][1])

    def test_program_that_is_not_there_is_told_in_plain_words(self) -> None:
        self.both_told()
        self.program.problem = ConnectionRefusedError(osError=111)
        self.port.connect()
        self.net.run(lambda: len(self.heard) > 1)
        target = "tcp:localhost:22 cannot be reached: Connection refused"
        self.assertEqual(self.heard[0], ("failed", f"a connection was not carried: {target}"))
        self.assertIn("the program there cannot be reached", self.heard[1][1])

    def test_peers_cannot_flood_the_operator(self) -> None:
        reports = self.reports(self.server)
        for _ in range(REPORTS_AT_ONCE + 10):
            reports.refused(NOBODY, "why")
        self.assertEqual(len(self.heard), REPORTS_AT_ONCE)

    def test_nothing_is_told_after_the_stop(self) -> None:
        reports = self.reports(self.server)
        reports.stop()
        reports.refused(NOBODY, "why")
        self.assertEqual(self.heard, [])


class PeerWatchTests(ReportsCase):
    def watch(self, name: Any) -> PeerWatch:
        watch = PeerWatch(self.client, name, self.reports(self.client))
        self.addCleanup(watch.stop)
        watch.start()
        return watch

    def test_peer_that_is_there_is_told_before_a_program_connects(self) -> None:
        self.watch(self.server.node_name)
        self.net.run(lambda: self.heard)
        self.assertEqual(self.heard, [("link", "connected, direct")])

    def test_peer_that_is_off_is_told_within_two_seconds_and_looked_for_again(self) -> None:
        watch = self.watch(NOBODY)
        began = self.net.clock.seconds()
        self.net.run(lambda: self.heard)
        self.assertTrue(TELL_SECONDS <= self.net.clock.seconds() - began < 2.0)
        text = "no link yet: it was asked for by name, and no address of it is known; it goes on trying"
        self.assertEqual(self.heard, [("unreached", text)])
        self.net.run(lambda: len(self.heard) > 1)
        self.assertIn("cannot be reached", self.heard[1][1])
        first = watch._looking
        self.net.clock.advance(FIRST_RETRY_SECONDS)
        self.assertIsNot(watch._looking, first)
        self.net.clock.advance(3 * UNREACHABLE_SECONDS)
        # with every attempt the same two, told once
        self.assertEqual(len(self.heard), 2)

    def test_node_outside_of_the_network_is_told_so(self) -> None:
        self.patch(type(self.client), "bootstrapped", False)
        self.watch(NOBODY)
        self.net.run(lambda: self.heard)
        self.assertIn("this node has no way into the network so far", self.heard[0][1])

    def test_stopped_watch_leaves_nothing_behind(self) -> None:
        before = len(self.net.clock.getDelayedCalls())
        watch = self.watch(NOBODY)
        watch.stop()
        self.assertEqual(len(self.net.clock.getDelayedCalls()), before)
        self.net.clock.advance(10)
        self.assertEqual(self.heard, [])

    def test_what_was_tried_is_the_last_outcome_of_each_address(self) -> None:
        tried = (
            attempt("a:1", "no answer"),
            attempt("b:2", "refused"),
            attempt("a:1", "refused"),
            attempt("c:3", "it answered", good=True),
            attempt("", "we asked it"),
        )
        self.assertEqual(
            tried_text(Explanation("n", False, "", (), tried)), "tried a:1: refused; b:2: refused"
        )
        candidate = CandidateExplained("a:1", ("its answer",), "", "", 0.0)
        text = tried_text(Explanation("n", False, "", (candidate,)))
        self.assertEqual(text, "no answer so far from a:1")
