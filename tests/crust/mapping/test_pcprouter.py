"""Asking a router over PCP, on a fake clock with datagrams in memory."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import if_nametoindex
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from routing_crust.crust.mapping.lease import Gateway, Lease, RouterProblem, UselessMapping
from routing_crust.crust.mapping.pcp import MapRequest
from routing_crust.crust.mapping.pcprouter import PcpRouter
from routing_crust.endpoints import Endpoint

from .support import GATEWAY, QuietTests, UdpClock, lease

FIREWALL = Gateway("fe80::1%lo", "2a00:77::10")


def nonces(text: bytes) -> bytes:
    return sha256(text).digest()


def nonce(gateway: Gateway) -> bytes:
    return nonces(f"{gateway.local} 5483".encode())[:12]


def reply(
    external: str = "5.5.5.11", port: int = 5483, lifetime: int = 7200, result: int = 0, to: Gateway = GATEWAY
) -> bytes:
    """An answer to a request for our port 5483."""
    address = ip_address(external)
    packed = b"\0" * 10 + b"\xff" * 2 + address.packed if address.version == 4 else address.packed
    head = bytes([2, 0x81, 0, result]) + lifetime.to_bytes(4, "big") + bytes(16)
    ports = (5483).to_bytes(2, "big") + port.to_bytes(2, "big")
    return head + nonce(to) + b"\6\0\0\0" + ports + packed


def request(external: int = 5483, lifetime: int = 7200, by: Gateway = GATEWAY) -> bytes:
    return MapRequest(_local(by), nonce(by), 5483, external, lifetime).datagram


def _local(gateway: Gateway) -> IPv4Address | IPv6Address:
    return ip_address(gateway.local)


class AskingCase(QuietTests):
    gateway = GATEWAY

    def setUp(self) -> None:
        super().setUp()
        self.clock = UdpClock()
        self.router = PcpRouter(self.clock, nonces, self.gateway)

    def assertNothingLeft(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.clock.ports, [])


class AskingTests(AskingCase):
    def map(self, external: int = 5483) -> Deferred[Lease]:
        return Deferred.fromCoroutine(self.router.map(5483, external, 7200))

    def mapped(self) -> Lease:
        asked = self.map()
        self.clock.answer(reply())
        return self.successResultOf(asked)

    def assertProblem(self, asked: Deferred[Any], text: str) -> None:
        self.assertEqual(str(self.failureResultOf(asked, RouterProblem).value), text)
        self.assertNothingLeft()

    def test_one_request_brings_port_address_and_lifetime(self) -> None:
        asked = self.map()
        self.assertEqual(self.clock.sent, [(0, request())])
        (port,) = self.clock.ports
        self.assertEqual((port.connected_to, port.local), (("192.168.1.1", 5351), "192.168.1.5"))
        self.clock.answer(reply(port=5500, lifetime=600))
        self.assertEqual(self.successResultOf(asked), lease("5.5.5.11:5500", 600, "PCP"))
        self.assertNothingLeft()

    def test_silent_router_is_asked_three_times(self) -> None:
        asked = self.map()
        self.clock.pump([0.25] * 6)
        self.assertNoResult(asked)
        self.assertEqual([when for when, _ in self.clock.sent], [0, 0.25, 0.75])
        self.clock.pump([0.25, 0])
        self.assertProblem(asked, "no answer")

    def test_answers_of_others_are_ignored(self) -> None:
        """Only the gateway knows the nonce, if nobody else sees what goes to it."""
        asked = self.map()
        self.clock.answer(reply("6.6.6.6"), ("192.168.1.66", 5351))
        self.clock.answer(reply("6.6.6.6"), ("192.168.1.1", 5352))
        self.clock.answer(b"garbage")
        wrong = reply("6.6.6.6")
        self.clock.answer(wrong[:24] + bytes(12) + wrong[36:])
        self.assertNoResult(asked)
        self.clock.answer(reply())
        self.assertEqual(self.successResultOf(asked), lease(way="PCP"))

    def test_refusal_is_a_router_problem(self) -> None:
        asked = self.map()
        self.clock.answer(reply(result=10))
        self.assertProblem(asked, "the router maps no more ports for this host")

    def test_mapping_at_which_nobody_can_dial_us_is_a_router_problem(self) -> None:
        for answer, text in (
            (reply(port=0), "the router maps no port, and gives no reason"),
            (reply(lifetime=0), "the router maps no port, and gives no reason"),
            (reply("0.0.0.0"), "the router has no address itself"),
            (reply("127.0.0.1"), "the router maps 127.0.0.1, at which nobody can dial us"),
            (reply("224.0.0.1"), "the router maps 224.0.0.1, at which nobody can dial us"),
            (reply("2a00:77::10"), "the router maps 2a00:77::10, at which nobody can dial us"),
        ):
            asked = self.map()
            self.clock.answer(answer)
            self.assertProblem(asked, text)

    def test_mapping_that_was_made_and_is_useless_is_told_as_such(self) -> None:
        """So that it is removed; one without a port or a lifetime was not made."""
        for answer, is_made in (
            (reply(port=0), False),
            (reply(lifetime=0), False),
            (reply("127.0.0.1"), True),
        ):
            asked = self.map()
            self.clock.answer(answer)
            problem = self.failureResultOf(asked, RouterProblem)
            self.assertEqual(problem.check(UselessMapping) is not None, is_made)

    def test_renewal_tells_whether_the_mapping_is_there(self) -> None:
        mapped = self.mapped()
        for answer, held in (
            (reply(), True),
            (reply(port=5484), False),
            (reply("5.5.5.12"), False),
            (reply(lifetime=0), False),
        ):
            asked = Deferred.fromCoroutine(self.router.holds(mapped))
            self.assertEqual(self.clock.sent[-1][1], request())
            self.clock.answer(answer)
            self.assertIs(self.successResultOf(asked), held)

    def test_restarted_node_has_the_same_nonce(self) -> None:
        """With another one the router would refuse to renew what it still maps to us."""
        self.mapped()
        self.router = PcpRouter(self.clock, nonces, GATEWAY)
        self.mapped()
        (_, first), (_, second) = self.clock.sent
        self.assertEqual(first, second)

    def test_removal_is_asked_for_once_also_after_a_cancelled_request(self) -> None:
        asked = self.map()
        asked.cancel()
        self.clock.advance(0)
        self.failureResultOf(asked, CancelledError)
        self.assertNothingLeft()
        removed = Deferred.fromCoroutine(self.router.remove())
        self.assertEqual(self.clock.sent[-1][1], request(0, 0))
        self.clock.answer(reply(port=0, lifetime=0))
        self.successResultOf(removed)
        sent = len(self.clock.sent)
        self.successResultOf(Deferred.fromCoroutine(self.router.remove()))
        self.assertEqual(len(self.clock.sent), sent)


class FirewallTests(AskingCase):
    """The router of an IPv6 address, at a link-local address itself."""

    gateway = FIREWALL

    def test_hole_is_asked_for_at_the_routers_link_local_address(self) -> None:
        asked = Deferred.fromCoroutine(self.router.map(5483, 5483, 7200))
        self.assertEqual(self.clock.sent, [(0, request(by=FIREWALL))])
        (port,) = self.clock.ports
        self.assertEqual((port.connected_to, port.local), (None, "2a00:77::10"))
        self.assertEqual(port.to, ("fe80::1%lo", 5351, 0, if_nametoindex("lo")))
        answer = reply("2a00:77::10", to=FIREWALL)
        self.clock.answer(answer, ("fe80::2", 5351))
        self.assertNoResult(asked)
        self.clock.answer(answer, ("fe80::1", 5351))
        hole = self.successResultOf(asked)
        self.assertEqual(hole.external, Endpoint("2a00:77::10", 5483))
        self.assertEqual((hole.is_pinhole, hole.reachable, hole.reaches_neighbours), (True, True, False))
        self.assertNothingLeft()

    def test_lost_interface_is_a_router_problem(self) -> None:
        gone = PcpRouter(self.clock, nonces, Gateway("fe80::1%none9", "2a00:77::10"))
        asked = Deferred.fromCoroutine(gone.map(5483, 5483, 7200))
        self.clock.advance(0)
        self.assertIn("it cannot be asked (", str(self.failureResultOf(asked, RouterProblem).value))
        self.assertNothingLeft()
