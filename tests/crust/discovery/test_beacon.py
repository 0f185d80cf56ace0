"""Finding each other on the local network."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from random import Random
from typing import Any
from unittest import mock

import msgspec
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer

from routing_crust.crust.discovery import beacon as module
from routing_crust.crust.discovery.beacon import (
    ENOUGH_ANSWERS,
    FIRST_SEEK_WAIT_SECONDS,
    MAX_ANSWER_WAIT_SECONDS,
    LanBeacon,
)
from routing_crust.crust.discovery.multicast import GROUP_V4, Place, choose_places, open_socket
from routing_crust.crust.discovery.packet import (
    MAX_DATAGRAM_BYTES,
    BeaconKind,
    BeaconPacket,
    BeaconScope,
    make_beacon,
    read_beacon,
)
from routing_crust.endpoints import Contact, Endpoint

from ..addresses import HOST, at, contact, identity, name

reactor: Any = _reactor

NONCE = b"n" * 16
LAN = choose_places([at("0.0.0.0:5483")], HOST, False)[0]
LOOPBACK = choose_places([at("127.0.0.1:5483")], HOST, False)[0]


@implementer(IReactorTime)
class FakeReactor(Clock):
    """A clock that takes datagram ports, and keeps what is written to them."""

    def __init__(self) -> None:
        super().__init__()
        self.ears: list[Any] = []
        self.sent: list[tuple[Any, BeaconPacket]] = []
        self.datagrams: list[bytes] = []
        self.scope = BeaconScope("home")
        self.problem: OSError | None = None

    def adoptDatagramPort(self, fileno: int, family: Any, protocol: Any, size: int = 8192) -> None:
        self.ears.append(protocol)
        protocol.transport = FakePort(self, protocol)


class FakePort:
    """A port of L{FakeReactor}."""

    def __init__(self, reactor: FakeReactor, ear: Any) -> None:
        self.reactor = reactor
        self.ear = ear

    def write(self, datagram: bytes, where: tuple[str, int]) -> None:
        if self.reactor.problem is not None:
            raise self.reactor.problem
        self.reactor.datagrams.append(datagram)
        beacon = self.reactor.scope.read(datagram)
        assert beacon is not None
        self.reactor.sent.append((where, beacon))

    def stopListening(self) -> None:
        self.reactor.ears.remove(self.ear)


class LogicTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.reactor.advance(1000)
        self.found: list[Contact] = []
        self.patch(module, "open_socket", lambda place, port: socket.socket(type=socket.SOCK_DGRAM))
        self.beacon = self.make(1)
        self.beacon.listen([LAN])

    def make(self, seed: int) -> LanBeacon:
        return LanBeacon(identity(seed), self.reactor.scope, self.reactor, Random(1), self.found.append, 5999)

    def hear(self, seed: int, kind: BeaconKind, nonce: bytes = NONCE, **other: Any) -> None:
        options = {"network": "home", "port": 5483, "host": "192.168.1.9", "place": LAN} | other
        datagram = make_beacon(identity(seed), options["network"], kind, options["port"], nonce)
        self.beacon.heard(other.get("datagram", datagram), options["host"], options["place"])

    def answers(self) -> int:
        self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
        answers = [each for _, each in self.reactor.sent if each.kind is BeaconKind.ANSWER]
        self.reactor.sent.clear()
        return len(answers)

    def nonce(self) -> bytes:
        return self.reactor.sent[-1][1].nonce

    def test_seek_is_repeated_with_growing_waits(self) -> None:
        """It ends with C{stop_seeking}."""
        self.beacon.seek()
        self.beacon.seek()
        where, beacon = self.reactor.sent[0]
        self.assertEqual((where, beacon.kind), ((GROUP_V4, 5999), BeaconKind.SEEK))
        self.assertTrue(beacon.signature_holds())
        counts = []
        for wait in (FIRST_SEEK_WAIT_SECONDS, 2 * FIRST_SEEK_WAIT_SECONDS, 4 * FIRST_SEEK_WAIT_SECONDS):
            self.reactor.advance(wait)
            counts.append(len(self.reactor.sent))
        self.assertEqual(counts, [2, 3, 4])
        self.beacon.stop_seeking()
        self.beacon.stop_seeking()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.beacon.seek()
        self.assertNotEqual(self.nonce(), beacon.nonce)
        self.beacon.stop_seeking()

    def test_answer_to_our_seek_gives_a_contact(self) -> None:
        """Its endpoint is where the datagram came from."""
        self.beacon.seek()
        self.hear(2, BeaconKind.ANSWER, self.nonce())
        self.assertEqual(self.found, [contact("192.168.1.9:5483", 2)])
        self.beacon.stop_seeking()

    def test_invalid_answers_give_no_contact(self) -> None:
        """Another nonce, another network, a forged signature, a low port, an address from elsewhere."""
        self.hear(2, BeaconKind.ANSWER)
        self.beacon.seek()
        nonce = self.nonce()
        self.hear(2, BeaconKind.ANSWER)
        self.hear(2, BeaconKind.ANSWER, nonce, network="away")
        self.hear(1, BeaconKind.ANSWER, nonce)
        self.hear(2, BeaconKind.ANSWER, nonce, port=22)
        self.hear(2, BeaconKind.ANSWER, nonce, host="203.0.113.5")
        forged = read_beacon(make_beacon(identity(2), "home", BeaconKind.ANSWER, 5483, nonce))
        assert forged is not None
        forged = msgspec.structs.replace(forged, sender=identity(3).name.raw)
        self.hear(2, BeaconKind.ANSWER, datagram=msgspec.msgpack.encode(forged))
        self.hear(2, BeaconKind.ANSWER, datagram=b"nonsense")
        self.assertEqual(self.found, [])
        self.beacon.stop_seeking()

    def test_seek_is_answered_after_a_short_wait(self) -> None:
        """The answer has the nonce of the SEEK, and is sent once."""
        self.hear(2, BeaconKind.SEEK)
        self.hear(2, BeaconKind.SEEK)
        self.assertEqual(self.reactor.sent, [])
        self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
        ((where, beacon),) = self.reactor.sent
        self.assertEqual(where, (GROUP_V4, 5999))
        self.assertEqual((beacon.kind, beacon.nonce, beacon.port), (BeaconKind.ANSWER, NONCE, 5483))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_seeks_that_are_not_answered(self) -> None:
        """Our own, a forged one, one while we seek ourselves, and where we cannot be dialled."""
        self.hear(1, BeaconKind.SEEK)
        seek = read_beacon(make_beacon(identity(2), "home", BeaconKind.SEEK, 0, NONCE))
        assert seek is not None
        forged = msgspec.structs.replace(seek, port=1)
        self.hear(2, BeaconKind.SEEK, datagram=msgspec.msgpack.encode(forged))
        nowhere = Place("eth0", 2, LAN.address, LAN.network, 0)
        self.beacon.listen([LAN, nowhere])
        self.hear(2, BeaconKind.SEEK, place=nowhere)
        self.beacon.seek()
        self.hear(2, BeaconKind.SEEK)
        self.assertEqual(self.answers(), 0)
        self.beacon.stop_seeking()

    def test_answers_and_pending_seekers_are_limited(self) -> None:
        """However many ask, answers are limited, and so is what waits."""
        total = 0
        for round_ in range(10):
            for number in range(20):
                self.hear(2, BeaconKind.SEEK, bytes([round_, number]) * 8)
            total += self.answers()
        self.assertLessEqual(total, 12)
        self.reactor.advance(60)
        for number in range(200):
            self.hear(2, BeaconKind.SEEK, bytes([99, number]) * 8, host=f"192.168.1.{number}")
        self.assertLess(len(self.reactor.getDelayedCalls()), 50)
        self.reactor.advance(1)
        self.answers()
        self.reactor.advance(1)
        self.hear(2, BeaconKind.SEEK)
        self.assertEqual(self.answers(), 1)

    def test_seeks_of_one_host_leave_answers_to_others(self) -> None:
        """A host that asks without end takes neither the answers nor the checks that others need."""
        for round_ in range(20):
            for number in range(200):
                self.hear(3, BeaconKind.SEEK, bytes([round_, number]) * 8, host="192.168.1.66")
            nonce = bytes([200 + round_]) * 16
            self.hear(2, BeaconKind.SEEK, nonce)
            self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
            self.assertIn(nonce, [each.nonce for _, each in self.reactor.sent])
            self.reactor.advance(1)

    def flood(self, kind: BeaconKind, round_: int, place: Place = LAN, network: str = "192.168.1") -> None:
        """Five hosts send 100 datagrams each, half of them with forged signatures."""
        for host in range(5):
            for number in range(100):
                nonce = self.nonce() if kind is BeaconKind.ANSWER else bytes([round_, host, number, 9]) * 4
                beacon = make_beacon(identity(20 + host), "home", kind, 6000 + number, nonce)
                if number % 2:
                    good = read_beacon(beacon)
                    assert good is not None
                    beacon = msgspec.msgpack.encode(msgspec.structs.replace(good, port=5484))
                self.beacon.heard(beacon, f"{network}.{60 + host}", place)

    def test_seeks_of_five_hosts_leave_answers_to_others(self) -> None:
        """Together they have as many as a node gives, and as many checks as it makes."""
        for round_ in range(8):
            self.flood(BeaconKind.SEEK, round_)
            nonce = bytes([200 + round_]) * 16
            self.hear(2, BeaconKind.SEEK, nonce, host=f"192.168.1.{100 + round_}")
            self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
            self.assertIn(nonce, [each.nonce for _, each in self.reactor.sent])
            self.reactor.advance(1)

    def test_answers_of_five_hosts_leave_checks_to_others(self) -> None:
        self.beacon.seek()
        self.flood(BeaconKind.ANSWER, 0)
        self.hear(2, BeaconKind.ANSWER, self.nonce())
        self.assertEqual(self.found[-1], contact("192.168.1.9:5483", 2))
        self.beacon.stop_seeking()

    def test_flood_on_one_network_takes_nothing_from_another(self) -> None:
        guests = Place("eth1", 3, ip_address("10.9.0.1"), "10.9.0.0/16", 5483)
        self.beacon.listen([LAN, guests])
        for host in range(50):
            self.flood(BeaconKind.SEEK, host, guests, f"10.9.{host}")
        self.hear(2, BeaconKind.SEEK)
        self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
        self.assertIn(NONCE, [each.nonce for _, each in self.reactor.sent])

    def test_host_that_copies_a_seek_does_not_take_the_answer_to_it(self) -> None:
        """A node that seeks again repeats its nonce, which everybody has heard."""
        for number in range(16):
            self.hear(3, BeaconKind.SEEK, bytes([number]) * 16, host="192.168.1.66")
        self.answers()  # it gets no more for a while
        self.hear(3, BeaconKind.SEEK, host="192.168.1.66")
        self.hear(2, BeaconKind.SEEK)
        self.assertEqual(self.answers(), 1)

    def test_node_that_heard_many_others_answer_sends_none(self) -> None:
        """Forged answers do not count."""
        self.hear(2, BeaconKind.SEEK)
        for number in range(ENOUGH_ANSWERS):
            self.hear(10 + number, BeaconKind.ANSWER, host=f"192.168.1.{number}")
        self.assertEqual(self.answers(), 0)
        self.hear(2, BeaconKind.SEEK, b"m" * 16)
        for number in range(ENOUGH_ANSWERS):
            forged = read_beacon(
                make_beacon(identity(10 + number), "home", BeaconKind.ANSWER, 5483, b"m" * 16)
            )
            assert forged is not None
            datagram = msgspec.msgpack.encode(msgspec.structs.replace(forged, port=5484))
            self.hear(3, BeaconKind.ANSWER, datagram=datagram, host=f"192.168.1.{number}")
        self.assertEqual(self.answers(), 1)

    def test_one_key_and_one_host_count_once_as_answers(self) -> None:
        """Keys are free, and one sender can repeat itself: neither silences the others."""
        self.hear(2, BeaconKind.SEEK)
        for number in range(ENOUGH_ANSWERS):
            self.hear(3, BeaconKind.ANSWER, host=f"192.168.1.{number}")
        self.assertEqual(self.answers(), 1)
        self.hear(2, BeaconKind.SEEK, b"m" * 16)
        for number in range(ENOUGH_ANSWERS):
            self.hear(10 + number, BeaconKind.ANSWER, b"m" * 16)
        self.assertEqual(self.answers(), 1)

    def test_repeated_seek_is_answered_however_many_others_answer(self) -> None:
        """The seeker has had their answers and still seeks."""
        for expected in (0, 1, 1):
            self.hear(2, BeaconKind.SEEK)
            for number in range(ENOUGH_ANSWERS):
                self.hear(10 + number, BeaconKind.ANSWER, host=f"192.168.1.{number}")
            self.assertEqual(self.answers(), expected)
            self.reactor.advance(2)

    def test_checks_of_signatures_are_limited(self) -> None:
        with mock.patch.object(BeaconPacket, "signature_holds", return_value=False) as check:
            for number in range(1000):
                self.hear(2, BeaconKind.SEEK, number.to_bytes(16, "big"))
        self.assertLessEqual(check.call_count, 100)

    def test_sockets_follow_interfaces_that_come_and_go(self) -> None:
        """A pending answer on an interface that is gone is dropped."""
        other = Place("eth1", 3, LOOPBACK.address, LOOPBACK.network, 1)
        self.hear(2, BeaconKind.SEEK)
        self.beacon.listen([other])
        self.assertEqual(len(self.reactor.ears), 1)
        self.assertEqual(self.answers(), 0)
        self.assertTrue(self.beacon.active)
        self.beacon.listen([LAN, other])
        self.assertEqual(len(self.reactor.ears), 2)

    def test_nothing_is_kept_of_sockets_that_are_closed(self) -> None:
        """Interfaces may come and go for years."""
        for _ in range(3):
            self.beacon.listen([])
            self.beacon.listen([LAN])
        self.assertEqual(len(self.beacon._closing), 0)

    def test_stop_leaves_no_timer_and_no_socket(self) -> None:
        """It may be repeated."""
        self.hear(2, BeaconKind.SEEK)
        self.beacon.seek()
        self.successResultOf(self.beacon.stop())
        self.successResultOf(self.beacon.stop())
        self.assertEqual((self.reactor.ears, self.reactor.getDelayedCalls()), ([], []))
        self.assertFalse(self.beacon.active)

    def lines(self) -> list[str]:
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self._events = events
        return events

    def test_host_without_multicast_logs_one_line(self) -> None:

        def no_device(place: Place, port: int) -> socket.socket:
            raise OSError(19, "No such device")

        self.patch(module, "open_socket", no_device)
        events = self.lines()
        beacon = self.make(2)
        beacon.listen([LAN, LOOPBACK])
        self.assertFalse(beacon.active)
        beacon.seek()
        self.successResultOf(beacon.stop())
        (line,) = [formatEvent(each) for each in events if "looked for" in formatEvent(each)]
        self.assertIn("eth0 (192.168.1.5): No such device; lo (127.0.0.1): No such device", line)

    def test_network_that_is_down_logs_at_most_one_line_a_second(self) -> None:
        self.reactor.problem = OSError(101, "Network is unreachable")
        events = self.lines()
        self.beacon.seek()
        self.hear(2, BeaconKind.SEEK)
        self.beacon.stop_seeking()
        self.beacon.seek()
        lines = [formatEvent(each) for each in events if "no beacon can be sent" in formatEvent(each)]
        self.assertEqual(lines, ["no beacon can be sent on eth0 (192.168.1.5) (Network is unreachable)"])
        self.beacon.stop_seeking()


class PrivateTests(SynchronousTestCase):
    """What others on the local network get of the beacons of a private network."""

    network = f"key:{name(9)}"

    def setUp(self) -> None:
        self.patch(module, "open_socket", lambda place, port: socket.socket(type=socket.SOCK_DGRAM))
        self.scope = BeaconScope(self.network, b"s" * 32)
        self.reactor = FakeReactor()
        self.reactor.advance(1000)
        self.found: list[Contact] = []
        self.beacon = self.make(1, self.scope)
        self.random = Random(2)

    def make(self, seed: int, scope: BeaconScope) -> LanBeacon:
        self.reactor.scope = scope
        beacon = LanBeacon(identity(seed), scope, self.reactor, Random(1), self.found.append, 5999)
        beacon.listen([LAN])
        return beacon

    def answers_to(self, datagram: bytes) -> int:
        self.reactor.sent.clear()
        self.beacon.heard(datagram, "192.168.1.9", LAN)
        self.reactor.advance(MAX_ANSWER_WAIT_SECONDS)
        return len(self.reactor.sent)

    def seek(self, scope: BeaconScope, nonce: bytes = NONCE) -> bytes:
        return scope.make(identity(2), BeaconKind.SEEK, 5483, nonce, self.random)

    def test_datagrams_show_neither_the_network_nor_the_name(self) -> None:
        self.answers_to(self.seek(self.scope))
        self.beacon.seek()
        self.beacon.stop_seeking()
        self.assertEqual(len(self.reactor.datagrams), 2)
        for datagram in self.reactor.datagrams:
            for shown in (self.network.encode(), name(9).raw, name(1).raw, str(name(1)).encode(), NONCE):
                self.assertNotIn(shown, datagram)
            self.assertIsNone(read_beacon(datagram))
            self.assertLess(len(datagram), MAX_DATAGRAM_BYTES)

    def test_same_beacon_never_looks_the_same(self) -> None:
        self.assertNotEqual(self.seek(self.scope)[:40], self.seek(self.scope)[:40])

    def test_member_is_answered_and_its_answer_gives_a_contact(self) -> None:
        self.assertEqual(self.answers_to(self.seek(self.scope)), 1)
        self.beacon.seek()
        nonce = self.reactor.sent[-1][1].nonce
        answer = self.scope.make(identity(2), BeaconKind.ANSWER, 5483, nonce, self.random)
        self.beacon.heard(answer, "192.168.1.9", LAN)
        self.assertEqual(self.found, [contact("192.168.1.9:5483", 2)])
        self.beacon.stop_seeking()

    def test_who_does_not_know_the_secret_is_not_answered(self) -> None:
        """Not who knows the network's id, nor who has another secret or has changed a byte."""
        good = self.seek(self.scope)
        for datagram in (
            make_beacon(identity(2), self.network, BeaconKind.SEEK, 5483, NONCE),
            self.seek(BeaconScope(self.network, b"t" * 32)),
            good[:-1] + bytes((good[-1] ^ 1,)),
            good[:20],
            b"",
        ):
            self.assertEqual(self.answers_to(datagram), 0)

    def test_recorded_seek_is_not_answered_again(self) -> None:
        recorded = self.seek(self.scope)
        self.assertEqual(self.answers_to(recorded), 1)
        self.reactor.advance(60)
        self.assertEqual(self.answers_to(recorded), 0)
        self.assertEqual(self.answers_to(self.seek(self.scope)), 1)

    def test_node_without_the_secret_says_and_hears_nothing(self) -> None:
        """The beacon of an open network would show the network's id."""
        self.beacon = self.make(3, BeaconScope(self.network))
        self.assertFalse(self.beacon.active)
        self.beacon.seek()
        self.assertEqual(self.reactor.datagrams, [])
        self.beacon.stop_seeking()


class SocketTests(TestCase):
    """Two beacons on this machine's loopback interface, sharing a port."""

    def place(self, port: int) -> Place:
        return Place("lo", socket.if_nametoindex("lo"), LOOPBACK.address, LOOPBACK.network, port)

    def setUp(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        try:
            with open_socket(self.place(1), self.port) as here:
                here.sendto(b"probe", (GROUP_V4, self.port))
        except OSError as error:
            raise SkipTest(f"this system has no multicast on its loopback interface: {error}") from None

    def make(self, seed: int, found: Deferred[Contact], port: int) -> LanBeacon:
        beacon = LanBeacon(
            identity(seed), BeaconScope("home"), reactor, Random(seed), found.callback, self.port
        )
        self.addCleanup(beacon.stop)
        beacon.listen([self.place(port)])
        return beacon

    async def test_two_beacons_on_one_machine_find_each_other(self) -> None:
        """Their two sockets share one port."""
        found: Deferred[Contact] = Deferred()
        seeker = self.make(1, found, 5001)
        other = self.make(2, Deferred(), 5002)
        self.assertTrue(seeker.active and other.active)
        seeker.seek()
        self.assertEqual(await found, contact("127.0.0.1:5002", 2))
        seeker.stop_seeking()
        readers = len(reactor.getReaders())
        await seeker.stop()
        await other.stop()
        self.assertEqual(len(reactor.getReaders()), readers - 2)

    def test_missing_interface_leaves_no_socket_open(self) -> None:
        place = Place("none", 99999, LOOPBACK.address, LOOPBACK.network, 1)
        with mock.patch.object(socket.socket, "close", autospec=True) as close:
            self.assertRaises(OSError, open_socket, place, self.port)
        (here,) = close.call_args.args
        self.assertIsInstance(here, socket.socket)
        here.close()

    async def test_beacons_find_each_other_over_ipv6(self) -> None:
        """The same over IPv6, on an interface that has a link-local address."""
        from routing_crust.crust.netstate.host import read_host_addresses

        places = choose_places([at("[::]:5002")], read_host_addresses(), False)
        if not places:
            raise SkipTest("this system has no IPv6 link-local address")
        found: Deferred[Contact] = Deferred()
        beacons = []
        for seed in (1, 2):
            beacon = LanBeacon(
                identity(seed),
                BeaconScope("home"),
                reactor,
                Random(seed),
                found.callback if seed == 1 else list,
                self.port,
            )
            self.addCleanup(beacon.stop)
            beacon.listen(places[:1])
            beacons.append(beacon)
        if not beacons[0].active:
            raise SkipTest("this system has no IPv6 multicast")
        beacons[0].seek()
        contact = await found
        beacons[0].stop_seeking()
        self.assertEqual(contact.name, name(2))
        self.assertEqual(contact.endpoint, Endpoint(f"{places[0].address}%{places[0].interface}", 5002))
