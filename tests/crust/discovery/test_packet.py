"""The datagrams of the beacon, and where they are sent and heard."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.discovery.multicast import GROUP_V4, GROUP_V6, MAX_PLACES, choose_places
from routing_crust.crust.discovery.packet import MAX_DATAGRAM_BYTES, BeaconKind, make_beacon, read_beacon
from routing_crust.endpoints import Endpoint

from ..addresses import HOST, at, host_address, identity, name

NONCE = b"n" * 16
LAN = choose_places([at("0.0.0.0:5483")], HOST, False)[0]


class PacketTests(SynchronousTestCase):
    def test_beacon_is_read_as_it_was_made(self) -> None:
        """Its signature holds, and it is small."""
        datagram = make_beacon(identity(1), "home", BeaconKind.ANSWER, 5483, NONCE)
        beacon = read_beacon(datagram)
        assert beacon is not None
        self.assertEqual(
            (beacon.network, beacon.kind, beacon.port, beacon.nonce, beacon.name),
            ("home", BeaconKind.ANSWER, 5483, NONCE, name(1)),
        )
        self.assertTrue(beacon.signature_holds())
        self.assertLess(len(datagram), 200)
        longest = make_beacon(identity(1), "n" * 64, BeaconKind.ANSWER, 65535, NONCE)
        self.assertLess(len(longest), MAX_DATAGRAM_BYTES)

    def test_signature_of_a_changed_beacon_does_not_hold(self) -> None:
        beacon = read_beacon(make_beacon(identity(1), "home", BeaconKind.SEEK, 5483, NONCE))
        assert beacon is not None
        for change in (
            {"network": "away"}, {"kind": BeaconKind.ANSWER}, {"sender": identity(2).name.raw},
            {"port": 5484}, {"nonce": b"m" * 16}, {"signature": b"s" * 64},
        ):  # fmt: skip
            self.assertFalse(msgspec.structs.replace(beacon, **change).signature_holds(), change)

    def test_other_datagrams_are_no_beacon(self) -> None:
        good = make_beacon(identity(1), "home", BeaconKind.ANSWER, 5483, NONCE)
        fields = msgspec.msgpack.decode(good)
        bad = [b"", b"x", good[:-1], good + b"x", b"\x91" * 400, good.ljust(MAX_DATAGRAM_BYTES + 1, b"\0")]
        for index, value in ((0, 1), (0, 3), (1, ""), (1, "n" * 65), (2, 2), (3, b"k"), (4, -1), (4, 65536),
                             (4, 0), (5, b""), (6, b"")):  # fmt: skip
            bad.append(msgspec.msgpack.encode([*fields[:index], value, *fields[index + 1 :]]))
        for each in bad:
            self.assertIsNone(read_beacon(each), each[:40])
        self.assertIsNotNone(read_beacon(make_beacon(identity(1), "home", BeaconKind.SEEK, 0, NONCE)))

    @given(st.binary(max_size=600))
    def test_reading_arbitrary_bytes_never_raises(self, data: bytes) -> None:
        beacon = read_beacon(data)
        self.assertTrue(beacon is None or not beacon.signature_holds())


class PlaceTests(SynchronousTestCase):
    def places(self, *listening: str, dials_only: bool = False) -> list[tuple[str, str, int]]:
        places = choose_places([at(each) for each in listening], HOST, dials_only)
        return [(each.interface, str(each.address), each.port) for each in places]

    def test_wildcard_gives_one_place_per_interface_and_family(self) -> None:
        """There is none on loopback."""
        self.assertEqual(
            self.places("0.0.0.0:1", "[::]:2"),
            [("eth0", "192.168.1.5", 1), ("eth0", "fe80::5", 2), ("eth1", "8.8.8.8", 1)],
        )

    def test_concrete_address_gives_one_place(self) -> None:
        self.assertEqual(self.places("8.8.8.8:1"), [("eth1", "8.8.8.8", 1)])
        self.assertEqual(self.places("127.0.0.1:1"), [("lo", "127.0.0.1", 1)])
        self.assertEqual(self.places("[::1]:1"), [])

    def test_link_local_address_of_an_interface_gives_one_place(self) -> None:
        """It is listened on with its zone."""
        self.assertEqual(self.places("[fe80::5%eth0]:1"), [("eth0", "fe80::5", 1)])
        self.assertEqual(self.places("[fe80::5%eth1]:1"), [])

    def test_client_seeks_on_every_interface(self) -> None:
        """Its beacon has the port 0."""
        everywhere = [("lo", "127.0.0.1", 0), ("eth0", "192.168.1.5", 0), ("eth0", "fe80::5", 0)]
        self.assertEqual(self.places(dials_only=True), [*everywhere, ("eth1", "8.8.8.8", 0)])
        self.assertEqual(self.places(), [])

    def test_number_of_sockets_is_bounded(self) -> None:
        host = [host_address(f"veth{number}", number, f"10.0.{number}.1/24") for number in range(1, 100)]
        self.assertEqual(len(choose_places([at("0.0.0.0:1")], host, False)), MAX_PLACES)

    def test_sender_is_dialled_at_its_source_address(self) -> None:
        """Not if that is in another network, or the port is a low one."""
        self.assertEqual(LAN.endpoint_of("192.168.1.9", 5483), at("192.168.1.9:5483"))
        self.assertIsNone(LAN.endpoint_of("192.168.2.9", 5483))
        self.assertIsNone(LAN.endpoint_of("192.168.1.9", 22))
        six = choose_places([at("[::]:5483")], HOST, False)[0]
        self.assertEqual(six.endpoint_of("fe80::9", 5483), Endpoint("fe80::9%eth0", 5483))
        self.assertEqual((LAN.group, six.group), (GROUP_V4, GROUP_V6))
