"""Which router it is: the kernel's table in all its forms, and the table of this host."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.mapping.gateway import (
    default_gateway,
    default_gateways_v6,
    find_gateway,
    find_gateways_v6,
    global_addresses_v6,
    local_address_towards,
)
from routing_crust.crust.mapping.lease import Gateway

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def number(address: str) -> str:
    """An address as the kernel writes it on this host."""
    return f"{int.from_bytes(IPv4Address(address).packed, 'little' if pack('=H', 1)[0] else 'big'):08X}"


def route(to: str, gateway: str, *, metric: int = 0, flags: int = 3, mask: str = "0.0.0.0") -> str:
    words = ("eth0", number(to), number(gateway), f"{flags:04X}", 0, 0, metric, number(mask), 0, 0, 0)
    return "\t".join(map(str, words)) + "   \n"


LAN = route("192.168.1.0", "0.0.0.0", flags=1, mask="255.255.255.0")


class TableTests(SynchronousTestCase):
    def test_default_route_gives_the_gateway(self) -> None:
        table = HEAD + LAN + route("0.0.0.0", "192.168.1.1")
        self.assertEqual(default_gateway(table), IPv4Address("192.168.1.1"))

    def test_route_with_the_lowest_metric_wins(self) -> None:
        routes = [route("0.0.0.0", f"10.0.0.{metric}", metric=metric) for metric in (200, 100, 150)]
        self.assertEqual(default_gateway(HEAD + "".join(routes)), IPv4Address("10.0.0.100"))

    def test_route_to_half_of_the_internet_is_no_default_route(self) -> None:
        half = route("0.0.0.0", "10.0.0.1", mask="128.0.0.0")
        for table in ("", HEAD, HEAD + LAN, HEAD + half):
            self.assertIsNone(default_gateway(table))

    def test_best_default_route_without_a_gateway_gives_none(self) -> None:
        """Packets into a tunnel have no router, even if another route has one."""
        tunnel = route("0.0.0.0", "0.0.0.0", flags=1)
        self.assertIsNone(default_gateway(HEAD + tunnel + route("0.0.0.0", "10.0.0.1", metric=100)))

    def test_damaged_lines_of_the_table_are_skipped(self) -> None:
        good = route("0.0.0.0", "10.0.0.1")
        self.assertEqual(default_gateway(HEAD + "eth0\n" + "x " * 11 + "\n" + good), IPv4Address("10.0.0.1"))

    @given(st.text(max_size=200))
    def test_table_of_garbage_gives_no_gateway(self, text: str) -> None:
        self.assertIsNone(default_gateway(HEAD + text))


class HostTests(SynchronousTestCase):
    def find(self, text: str) -> Gateway | None:
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return find_gateway(path)

    def test_gateway_comes_with_our_address_towards_it(self) -> None:
        self.assertEqual(self.find(HEAD + route("0.0.0.0", "127.0.0.1")), Gateway("127.0.0.1", "127.0.0.1"))

    def test_broadcast_address_is_no_gateway(self) -> None:
        """A socket can be connected to one only with C{SO_BROADCAST}."""
        self.assertIsNone(local_address_towards(IPv4Address("255.255.255.255")))
        self.assertIsNone(self.find(HEAD + route("0.0.0.0", "255.255.255.255")))

    def test_route_without_gateway_is_skipped(self) -> None:
        self.assertIsNone(self.find(HEAD))

    def test_system_without_a_route_table_has_no_gateway(self) -> None:
        self.assertIsNone(find_gateway(Path("/nonexistent/route")))
        self.assertIsNone(self.find("\N{SNOWMAN}"))


NOWHERE = "0" * 32


def route_v6(
    gateway: str, *, to: str = f"{NOWHERE} 00", metric: int = 1024, flags: int = 3, dev: str = "eth0"
) -> str:
    via = IPv6Address(gateway).packed.hex()
    return f"{to} {NOWHERE} 00 {via} {metric:08x} 00000003 00000000 {flags:08x}     {dev}\n"


def address_v6(address: str, flags: int = 0x80, dev: str = "eth0") -> str:
    return f"{IPv6Address(address).packed.hex()} 02 40 00 {flags:02x}     {dev}\n"


class TableV6Tests(SynchronousTestCase):
    def test_each_interface_has_the_gateway_of_its_best_default_route(self) -> None:
        table = "".join(
            (
                route_v6("fe80::2", metric=2048),
                route_v6("fe80::1"),
                route_v6("fe80::9", metric=1, to=f"2a00{'0' * 28} 20"),
                route_v6("::", metric=1, flags=1),
                route_v6("fe80::3", dev="wlan0"),
                "garbage\n",
            )
        )
        self.assertEqual(default_gateways_v6(table), {"eth0": "fe80::1", "wlan0": "fe80::3"})

    def test_lasting_global_addresses_come_before_temporary_ones(self) -> None:
        table = "".join(
            (
                address_v6("fe80::5"),
                address_v6("fd00::5"),
                address_v6("2a00:77::aaaa", 0x01),
                address_v6("2a00:77::10"),
                address_v6("2a00:77::dead", 0x20),
                address_v6("2a00:77::7e57", 0x40),
                "garbage\n",
            )
        )
        self.assertEqual(global_addresses_v6(table), [("eth0", "2a00:77::10"), ("eth0", "2a00:77::aaaa")])

    def test_router_of_each_address_is_that_of_its_interface(self) -> None:
        routes, addresses = Path(self.mktemp()), Path(self.mktemp())
        self.assertEqual(find_gateways_v6(routes, addresses), ())
        routes.write_text(route_v6("fe80::1") + route_v6("2a00:99::1", dev="wlan0"))
        addresses.write_text(
            address_v6("2a00:77::10")
            + address_v6("2a00:99::10", dev="wlan0")
            + address_v6("2a00:88::10", dev="tun0")
        )
        self.assertEqual(
            find_gateways_v6(routes, addresses),
            (Gateway("fe80::1%eth0", "2a00:77::10"), Gateway("2a00:99::1", "2a00:99::10")),
        )
