"""Dialling from the listening port: which one, and what happens when it cannot be had."""

from __future__ import annotations

import errno

from twisted.internet import error
from twisted.internet.tcp import makeBinding
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial.dialler import Dialler
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.dial.local_port import is_local, origin_for
from routing_crust.endpoints import Endpoint
from routing_crust.errors import ConnectFailed
from routing_crust.timing.shares import OURSELVES

from ..addresses import at, name
from ..services import ServiceTests
from ..support import Owner, dial_environment

FAR = at("8.8.8.8:5483")


class OriginTests(SynchronousTestCase):
    def test_ipv6_endpoint_is_not_dialled_from_an_ipv4_port(self) -> None:
        both = (at("0.0.0.0:5483"), at("[::]:5484"))
        self.assertEqual(origin_for(both, FAR), both[0])
        self.assertEqual(origin_for(both, at("[2606:4700::1]:1024")), both[1])
        self.assertIsNone(origin_for(both[1:], FAR))

    def test_loopback_port_is_no_origin_for_dials_off_the_host(self) -> None:
        """Nothing leaves the host from a loopback address."""
        here = at("127.0.0.1:5483")
        self.assertIsNone(origin_for((here,), FAR))
        self.assertEqual(origin_for((here,), at("127.0.0.2:5483")), here)

    def test_link_local_port_is_no_origin_for_dials_off_the_network(self) -> None:
        """An interface that comes up has such an address before any other."""
        near, far = at("[fe80::5%eth0]:5483"), at("[2606:4700::5]:5483")
        self.assertEqual(origin_for((near, far), at("[2606:4700::1]:1024")), far)
        self.assertIsNone(origin_for((near,), at("[2606:4700::1]:1024")))
        self.assertEqual(origin_for((near, far), at("[fe80::6%eth0]:1024")), near)

    def test_errors_of_the_origin_are_told_from_those_of_the_far_end(self) -> None:
        for mine in (
            error.ConnectBindError(errno.EADDRINUSE, "in use"),
            error.ConnectError(errno.EADDRNOTAVAIL, "taken"),
        ):
            self.assertTrue(is_local(mine))
        for theirs in (
            error.ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
            error.ConnectError(None, "an ICMP error"),
            None,
        ):
            self.assertFalse(is_local(theirs))


class FallBackTests(SynchronousTestCase):
    """On a fake reactor, which writes down what is dialled, and from where."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        owner = Owner(self.reactor, Settings())
        self.gone = 0
        self.listening = (at("0.0.0.0:5483"), at("[::1]:5483"))
        limits = DialLimits(owner.settings, Rules((), ()), self.reactor.seconds)
        self.dialler = Dialler(
            dial_environment(owner, self.reactor, limits, self.went, lambda: self.listening)
        )

    def went(self) -> None:
        self.gone += 1

    def fail_dial(self, number: int, problem: error.ConnectError) -> None:
        factory = self.reactor.tcpClients[number][2]
        factory.doStart()
        factory.clientConnectionFailed(self.reactor.connectors[number], Failure(problem))
        factory.doStop()

    def origins(self) -> list[object]:
        return [each[4] for each in self.reactor.tcpClients]

    def dial(self, endpoint: Endpoint = FAR, token: bytes = b"") -> None:
        self.outcome = self.dialler.connect([endpoint], name(2), token, OURSELVES)

    def test_dial_without_a_token_leaves_from_the_listening_port(self) -> None:
        """Without a token, and from any address where we listen on all."""
        self.dial()
        self.dialler.stop()
        self.failureResultOf(self.outcome)
        self.assertEqual(self.origins(), [makeBinding("", 5483, reuseAddress=True, reusePort=True)])

    def test_dial_for_a_request_has_a_port_of_its_own(self) -> None:
        self.dial(token=b"nonce")
        self.dialler.stop()
        self.failureResultOf(self.outcome)
        self.assertEqual(self.origins(), [None])

    def test_taken_port_falls_back_to_any_and_reports_the_last_error(self) -> None:
        """If the port is taken, any other is; what is said in the end is what the far end said."""
        self.dial()
        self.reactor.tcpClients[0][2].doStart()  # as the second dial does, before the first is over
        self.fail_dial(0, error.ConnectBindError(errno.EADDRINUSE, "in use"))
        self.assertIsNone(self.origins()[1])
        self.assertNoResult(self.outcome)
        self.fail_dial(1, error.ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
        problem = self.failureResultOf(self.outcome, ConnectFailed).value
        self.assertEqual([what for _, what in problem.attempts], ["connection refused"])  # type: ignore[attr-defined]
        self.assertEqual((len(self.reactor.tcpClients), self.gone), (2, 0))
        self.reactor.tcpClients[0][2].doStop()
        self.assertEqual(self.gone, 1)
        self.assertTrue(self.dialler.idle)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class SocketTests(ServiceTests):
    async def test_peer_sees_our_listening_port_only_on_the_first_link(self) -> None:
        """The peer of a link without a token sees our listening port; the next link has another."""
        one, _ = self.start(1)
        two, others = self.start(2, listen=(at("127.0.0.2:0"),))
        await one.connect(two.endpoints, name(2), b"", OURSELVES)
        (link,) = await others.next("accept")
        self.assertEqual(link.connection.peer, one.endpoints[0])
        # between these two ends there is a connection now, so the port is taken for another
        await one.connect(two.endpoints, None, b"", OURSELVES)
        (again,) = await others.next("accept")
        self.assertEqual(again.connection.peer.host, "127.0.0.1")
        self.assertNotEqual(again.connection.peer, one.endpoints[0])
