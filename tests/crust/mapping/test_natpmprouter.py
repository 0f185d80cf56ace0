"""Asking a router over NAT-PMP: on a fake clock, and a fake router on real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from routing_crust.crust.mapping.lease import Gateway, Lease, RouterProblem
from routing_crust.crust.mapping.natpmp import address_request, mapping_request
from routing_crust.crust.mapping.natpmprouter import NatPmpRouter

from .support import GATEWAY, QuietTests, UdpClock, lease

reactor: Any = _reactor


def address_reply(address: str = "5.5.5.11", epoch: int = 60) -> bytes:
    return bytes([0, 0x80, 0, 0]) + epoch.to_bytes(4, "big") + bytes(map(int, address.split(".")))


def mapping_reply(external: int = 5483, lifetime: int = 7200, epoch: int = 60, local: int = 5483) -> bytes:
    ports = local.to_bytes(2, "big") + external.to_bytes(2, "big")
    return bytes([0, 0x82, 0, 0]) + epoch.to_bytes(4, "big") + ports + lifetime.to_bytes(4, "big")


class AskingTests(QuietTests):
    def setUp(self) -> None:
        super().setUp()
        self.clock = UdpClock()
        self.router = NatPmpRouter(self.clock, GATEWAY)

    def map(self, external: int = 5483) -> Deferred[Lease]:
        return Deferred.fromCoroutine(self.router.map(5483, external, 7200))

    def mapped(self, epoch: int = 60) -> Lease:
        """A mapping that was asked for and is there."""
        asked = self.map()
        self.clock.answer(address_reply(epoch=epoch))
        self.clock.answer(mapping_reply(epoch=epoch))
        return self.successResultOf(asked)

    def assertNothingLeft(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.clock.ports, [])

    def assertProblem(self, asked: Deferred[Any], text: str) -> None:
        self.assertEqual(str(self.failureResultOf(asked, RouterProblem).value), text)
        self.assertNothingLeft()

    def test_address_is_requested_before_the_mapping(self) -> None:
        """The router may choose another port and lifetime."""
        asked = self.map()
        self.assertEqual(self.clock.sent, [(0, address_request())])
        (port,) = self.clock.ports
        self.assertEqual((port.connected_to, port.local), (("192.168.1.1", 5351), "192.168.1.5"))
        self.clock.answer(address_reply())
        self.assertEqual(self.clock.sent[1:], [(0, mapping_request(5483, 5483, 7200))])
        self.clock.answer(mapping_reply(external=5500, lifetime=600))
        self.assertEqual(self.successResultOf(asked), lease("5.5.5.11:5500", 600))
        self.assertNothingLeft()

    def test_unanswered_request_is_sent_again_with_growing_waits(self) -> None:
        asked = self.map()
        self.clock.pump([0.25] * 30)
        self.assertNoResult(asked)
        self.assertEqual([when for when, _ in self.clock.sent], [0, 0.25, 0.75, 1.75, 3.75])
        self.clock.pump([0.25, 0])
        self.assertProblem(asked, "no answer")

    def test_late_answer_is_still_taken(self) -> None:
        asked = self.map()
        self.clock.advance(5)
        self.clock.answer(address_reply())
        self.clock.answer(mapping_reply())
        self.successResultOf(asked)
        self.assertNothingLeft()

    def test_replies_from_elsewhere_are_ignored(self) -> None:
        """Only one reply counts: from the gateway's port, and to this request."""
        asked = self.map()
        self.clock.answer(address_reply("6.6.6.6"), ("192.168.1.66", 5351))
        self.clock.answer(address_reply("6.6.6.6"), ("192.168.1.1", 5352))
        self.clock.answer(b"garbage")
        self.clock.answer(mapping_reply())
        self.assertEqual(len(self.clock.sent), 1)
        port = self.clock.ports[0]
        self.clock.answer(address_reply())
        port.protocol.datagramReceived(address_reply("6.6.6.6"), port.connected_to)
        self.clock.answer(mapping_reply(local=5484))
        self.assertNoResult(asked)
        self.clock.answer(mapping_reply())
        self.assertEqual(self.successResultOf(asked), lease())

    def test_refusal_is_a_router_problem(self) -> None:
        asked = self.map()
        self.clock.answer(address_reply())
        self.clock.answer(bytes([0, 0x82, 0, 4]) + bytes(12))
        self.assertProblem(asked, "the router cannot map any more ports")

    def test_address_of_zeros_is_no_address(self) -> None:
        """A router that is not connected itself may say so by an address of zeros."""
        asked = self.map()
        self.clock.answer(address_reply("0.0.0.0"))
        self.assertProblem(asked, "the router has no address itself")

    def test_mapping_to_port_zero_is_refused(self) -> None:
        for reply in (mapping_reply(external=0), mapping_reply(lifetime=0)):
            asked = self.map()
            self.clock.answer(address_reply())
            self.clock.answer(reply)
            self.assertProblem(asked, "the router maps no port, and gives no reason")

    def test_closed_port_of_the_router_is_a_router_problem(self) -> None:
        """The reactor reports it, from within the write or later, or closes our port."""
        for happens in (
            lambda port: port.protocol.connectionRefused(),
            lambda port: self.clock.lose_port(),
        ):
            asked = self.map()
            happens(self.clock.ports[0])
            self.clock.advance(0)
            self.assertProblem(asked, "the router does not speak it")
        self.clock.refused_at_once = True
        asked = self.map()
        self.clock.advance(0)
        self.assertProblem(asked, "the router does not speak it")

    def test_missing_route_is_a_router_problem(self) -> None:
        self.clock.no_route = True
        asked = self.map()
        self.clock.advance(0)
        self.assertProblem(asked, "it cannot be asked (Network is unreachable)")

    def test_failed_write_is_a_router_problem(self) -> None:
        self.clock.write_fails = True
        asked = self.map()
        self.clock.advance(0)
        self.assertProblem(asked, "it cannot be asked (Operation not permitted)")

    def test_lost_address_of_ours_is_a_router_problem(self) -> None:
        error = CannotListenError("192.168.1.5", 0, OSError(99, "Cannot assign requested address"))
        self.patch(self.clock, "listenUDP", self.raiser(error))
        self.assertProblem(self.map(), "it cannot be asked ([Errno 99] Cannot assign requested address)")

    def raiser(self, error: Exception) -> Callable[..., None]:
        def raises(*arguments: Any, **more: Any) -> None:
            raise error

        return raises

    def test_cancelled_request_leaves_no_timer_and_no_socket(self) -> None:
        """A mapping that it may have made can still be removed."""
        asked = self.map()
        asked.cancel()
        self.clock.advance(0)
        self.failureResultOf(asked, CancelledError)
        self.assertNothingLeft()
        self.successResultOf(Deferred.fromCoroutine(self.router.remove()))
        asked = self.map()
        self.clock.answer(address_reply())
        asked.cancel()
        self.clock.advance(0)
        self.failureResultOf(asked, CancelledError)
        self.assertNothingLeft()
        removed = Deferred.fromCoroutine(self.router.remove())
        self.assertEqual(self.clock.sent[-1][1], mapping_request(5483, 0, 0))
        self.clock.answer(mapping_reply(external=0, lifetime=0))
        self.successResultOf(removed)

    def test_second_removal_sends_nothing(self) -> None:
        self.mapped()
        removed = Deferred.fromCoroutine(self.router.remove())
        self.assertEqual(self.clock.sent[-1][1], mapping_request(5483, 0, 0))
        self.clock.answer(mapping_reply(external=0, lifetime=0))
        self.successResultOf(removed)
        sent = len(self.clock.sent)
        self.successResultOf(Deferred.fromCoroutine(self.router.remove()))
        self.assertEqual(len(self.clock.sent), sent)
        self.assertNothingLeft()

    def holds(self, mapped: Lease, *replies: bytes) -> bool:
        asked = Deferred.fromCoroutine(self.router.holds(mapped))
        for reply in replies:
            self.clock.answer(reply)
        return self.successResultOf(asked)

    def test_check_tells_whether_the_mapping_is_there(self) -> None:
        mapped = self.mapped(epoch=1000)
        self.clock.advance(60)
        self.assertTrue(self.holds(mapped, address_reply(epoch=1055), mapping_reply(epoch=1055)))
        self.assertFalse(self.holds(mapped, address_reply("5.5.5.12", 1056)))
        self.assertTrue(self.holds(mapped, address_reply(epoch=1057), mapping_reply(epoch=1057)))

    def test_check_asks_for_the_same_port_and_lifetime_again(self) -> None:
        """It brings the mapping back where a router has lost it and says nothing of a restart."""
        mapped = self.mapped(epoch=1000)
        self.clock.advance(60)
        self.assertTrue(self.holds(mapped, address_reply(epoch=1060), mapping_reply(epoch=1060)))
        self.assertEqual(self.clock.sent[-1][1], mapping_request(5483, 5483, 7200))
        self.assertNothingLeft()

    def test_port_that_has_gone_to_another_host_is_not_held(self) -> None:
        mapped = self.mapped(epoch=1000)
        self.clock.advance(60)
        self.assertFalse(self.holds(mapped, address_reply(epoch=1060), mapping_reply(5484, epoch=1060)))

    def test_restarted_router_is_believed_to_have_lost_the_mapping(self) -> None:
        mapped = self.mapped(epoch=1000)
        self.clock.advance(60)
        self.assertFalse(self.holds(mapped, address_reply(epoch=5)))
        self.clock.advance(60)
        self.assertFalse(self.holds(mapped, address_reply(epoch=65)))
        mapped = self.mapped(epoch=66)
        self.clock.advance(60)
        self.assertTrue(self.holds(mapped, address_reply(epoch=126), mapping_reply(epoch=126)))


class FakeGateway(DatagramProtocol):
    """A router that maps what it is asked for, and writes down what that was."""

    noisy = False
    transport: Any

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.before: Callable[[Any], None] = lambda addr: None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.asked.append(datagram)
        self.before(addr)
        if datagram == address_request():
            self.transport.write(address_reply(), addr)
        else:
            self.transport.write(bytes([0, 0x82, 0, 0, 0, 0, 0, 60]) + datagram[4:], addr)


class RealSockets(Clock):
    """The reactor's sockets, and a time that stands still, so that no question is repeated."""

    listenUDP = reactor.listenUDP


class SocketTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        self.gateway = FakeGateway()
        self.port = reactor.listenUDP(0, self.gateway, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    def router(self, port: int) -> NatPmpRouter:
        return NatPmpRouter(RealSockets(), Gateway("127.0.0.1", "127.0.0.1"), port)

    async def test_real_sockets_map_and_remove(self) -> None:
        router = self.router(self.port.getHost().port)
        mapped = await router.map(5483, 6000, 600)
        self.assertEqual(str(mapped.external), "5.5.5.11:6000")
        self.assertTrue(await router.holds(mapped))
        await router.remove()
        self.assertEqual(
            self.gateway.asked,
            [
                address_request(),
                mapping_request(5483, 6000, 600),
                address_request(),
                mapping_request(5483, 6000, 600),
                mapping_request(5483, 0, 0),
            ],
        )

    async def test_datagram_of_another_socket_is_not_received(self) -> None:
        liar = DatagramProtocol()
        port: Any = reactor.listenUDP(0, liar, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.gateway.before = lambda addr: port.write(address_reply("6.6.6.6"), addr)
        mapped = await self.router(self.port.getHost().port).map(5483, 6000, 600)
        self.assertEqual(mapped.external.host, "5.5.5.11")

    async def test_closed_port_is_noticed_at_once_by_icmp(self) -> None:
        closed: Any = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        number = closed.getHost().port
        await closed.stopListening()
        try:
            await self.router(number).map(5483, 6000, 600)
        except RouterProblem as problem:
            self.assertEqual(str(problem), "the router does not speak it")
        else:
            self.fail("it is mapped")
