"""Which other ways to the internet a host has."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from struct import pack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.crust.netstate.connecting import take_path
from routing_crust.crust.netstate.host import HostAddress
from routing_crust.crust.netstate.paths import DialPath
from routing_crust.crust.netstate.uplinks import (
    DefaultRoute,
    Uplink,
    other_uplinks,
    read_default_routes,
    routes_in,
    source_for,
)
from routing_crust.endpoints import Endpoint

FAR = Endpoint("8.8.8.8", 1)
CABLE = HostAddress("eth0", 2, ip_address("192.168.1.2"), "192.168.1.0/24")
WIFI = HostAddress("wlan0", 3, ip_address("192.168.2.2"), "192.168.2.0/24")
VPN = HostAddress("wg0", 4, ip_address("10.9.0.2"), "10.9.0.0/24")
ADDRESSES = (CABLE, WIFI, VPN)


def attribute(kind: int, number: int) -> bytes:
    return pack("=HHI", 8, kind, number)


def route(*attributes: bytes, family: int = 2, bits: int = 0, table: int = 254, kind: int = 1) -> bytes:
    """One message of a dump."""
    body = pack("=8BI", family, bits, 0, 0, table, 3, 0, kind, 0) + b"".join(attributes)
    return pack("=IHHII", 16 + len(body), 24, 2, 1, 0) + body


class DumpTests(SynchronousTestCase):
    def test_default_routes_are_read_with_interface_and_metric(self) -> None:
        dump = (
            route(attribute(4, 2), attribute(6, 100))
            + route(attribute(4, 3), family=10, table=100)
            + route(attribute(4, 2), bits=24)
            + route(attribute(4, 1), table=255)
            + route(attribute(4, 2), kind=7)
            + route()
        )
        expected = [DefaultRoute(False, 254, 100, 2), DefaultRoute(True, 100, 0, 3)]
        self.assertEqual(list(routes_in(dump)), expected)

    def test_end_and_error_end_the_dump(self) -> None:
        for kind in (2, 3):
            self.assertEqual(list(routes_in(pack("=IHHIIi", 20, kind, 2, 1, 0, 0))), [None])

    @given(st.binary(max_size=200))
    def test_no_bytes_do_harm(self, data: bytes) -> None:
        list(routes_in(data))
        list(routes_in(route(data)))

    def test_routes_of_this_host_can_be_read(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("there is no netlink")
        for each in read_default_routes():
            self.assertGreater(each.interface, 0)
        self.assertEqual(source_for(Endpoint("127.0.0.1", 9)), "127.0.0.1")


class UplinkTests(SynchronousTestCase):
    def others(self, *routes: DefaultRoute, remote: Endpoint = FAR, own: str = "192.168.1.2") -> Any:
        def source(remote: Endpoint) -> str:
            if not own:
                raise OSError("no route")
            return own

        found = other_uplinks(
            remote,
            ADDRESSES,
            routes=lambda: routes,
            source=source,
            ordinary=lambda name: not name.startswith("wg"),
        )
        return [each.interface for each in found]

    def test_interface_with_another_default_route_is_another_way(self) -> None:
        self.assertEqual(
            self.others(DefaultRoute(False, 254, 200, 3), DefaultRoute(False, 254, 100, 2)), ["wlan0"]
        )

    def test_interface_without_a_default_route_is_none(self) -> None:
        self.assertEqual(self.others(DefaultRoute(False, 254, 100, 2)), [])

    def test_route_of_the_other_family_does_not_count(self) -> None:
        self.assertEqual(self.others(DefaultRoute(False, 254, 1, 2), DefaultRoute(True, 254, 2, 3)), [])

    def test_main_table_goes_before_others_and_low_metrics_before_high_ones(self) -> None:
        routes = (
            DefaultRoute(False, 254, 1, 2),
            DefaultRoute(False, 100, 0, 3),
            DefaultRoute(False, 254, 5, 4),
        )
        self.assertEqual(self.others(*routes), ["wg0", "wlan0"])

    def test_vpn_is_never_gone_around(self) -> None:
        """Whether its route is in the main table, in one of its own, or two halves of a default route."""
        main = (DefaultRoute(False, 254, 100, 2), DefaultRoute(False, 254, 200, 3))
        self.assertEqual(self.others(DefaultRoute(False, 254, 1, 4), *main, own="10.9.0.2"), [])
        self.assertEqual(self.others(*main, own="10.9.0.2"), [])
        self.assertEqual(self.others(DefaultRoute(False, 100, 0, 2), main[1]), [])

    def test_where_no_route_leads_there_any_uplink_will_do(self) -> None:
        self.assertEqual(self.others(DefaultRoute(False, 254, 200, 3), own=""), ["wlan0"])

    def test_hosts_of_our_own_networks_are_dialled_in_one_way(self) -> None:
        routes = (DefaultRoute(False, 254, 200, 3), DefaultRoute(False, 254, 100, 2))
        for host in ("192.168.2.9", "127.0.0.1", "169.254.3.4"):
            self.assertEqual(self.others(*routes, remote=Endpoint(host, 1)), [])


class SocketTests(SynchronousTestCase):
    def test_segments_of_a_socket_become_smaller(self) -> None:
        with socket.socket() as listening, socket.socket() as dialling:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            take_path(dialling, DialPath(None, 536))
            dialling.connect(listening.getsockname())
            self.assertLessEqual(dialling.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), 536)
            accepted, _ = listening.accept()
            with accepted:
                self.assertLessEqual(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), 536)

    def test_socket_leaves_by_the_interface_that_is_given(self) -> None:
        if not hasattr(socket, "SO_BINDTODEVICE"):
            raise SkipTest("this system does not let us choose an interface")
        with socket.socket() as made:
            try:
                take_path(made, DialPath(Uplink("lo", "127.0.0.1")))
            except PermissionError:
                raise SkipTest("Linux lets every user choose since version 5.7") from None
            self.assertEqual(made.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 64), b"lo\0")
