"""Where a node listens as the addresses of its interfaces come and go, on ports in memory."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import ServerFactory
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.accept.listening import ListeningPorts, endpoints_at
from routing_crust.crust.netstate.host import HostAddress
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CannotListen
from routing_crust.hosts.interfaces import InterfacePort

from ..addresses import at, host_address

ETH0 = InterfacePort("eth0", 5483)
V4 = host_address("eth0", 2, "192.168.1.5/24")
V6 = host_address("eth0", 2, "2a00:77::10/64")
LINK_LOCAL = host_address("eth0", 2, "fe80::5/64")
OTHER = host_address("wlan0", 3, "192.168.2.5/24")


class Port:
    def __init__(self, endpoint: Endpoint, open_ports: list[Endpoint]) -> None:
        self.endpoint = endpoint
        self.open_ports = open_ports
        open_ports.append(endpoint)
        self.host, self.port = endpoint.host, endpoint.port

    def getHost(self) -> Any:
        return self

    def stopListening(self) -> Deferred[None] | None:
        self.open_ports.remove(self.endpoint)
        return self.closed

    closed: Deferred[None] | None = None


class ChoiceTests(SynchronousTestCase):
    def test_all_addresses_of_the_interface_count(self) -> None:
        """A link-local one of IPv6 means nothing without its zone."""
        self.assertEqual(
            endpoints_at([ETH0], [V4, OTHER, V6, LINK_LOCAL]),
            (at("192.168.1.5:5483"), at("[2a00:77::10]:5483"), at("[fe80::5%eth0]:5483")),
        )


class FollowingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addresses: list[HostAddress] = [V4, OTHER]
        self.refused: dict[Endpoint, int] = {}
        self.open: list[Endpoint] = []
        self.log: list[tuple[LogLevel, str]] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.make(ETH0, at("127.0.0.1:5484"))

    def observe(self, event: Any) -> None:
        if event["log_namespace"].endswith("ListeningPorts"):
            self.log.append((event["log_level"], event["log_format"].format(**event)))

    def make(self, *listen: Any, **settings: Any) -> None:
        self.ports = ListeningPorts(
            Settings(listen=listen, **settings), self.listen, lambda: tuple(self.addresses)
        )

    def listen(self, factory: Any, endpoints: Sequence[Endpoint]) -> Any:
        for each in endpoints:
            if each in self.refused:
                raise CannotListen(f"cannot listen on {each}") from OSError(self.refused[each], "no")
        return tuple(Port(each, self.open) for each in endpoints)

    def start(self) -> None:
        self.ports.open(ServerFactory())

    def test_wildcard_leaves_no_port_to_an_interface(self) -> None:
        """The system would say that another program listens there, and there is none."""
        self.make(at("0.0.0.0:5483"), ETH0)
        self.assertIn("0.0.0.0:5483 in listen has all", str(self.assertRaises(CannotListen, self.start)))
        self.assertEqual(self.open, [])

    def test_wildcard_leaves_other_ports_and_families_to_an_interface(self) -> None:
        self.make(at("0.0.0.0:5484"), at("[::]:5483"), ETH0)
        self.start()
        self.assertEqual(len(self.open), 3)

    def test_fixed_addresses_and_those_of_interfaces_are_listened_on(self) -> None:
        self.start()
        both = (at("127.0.0.1:5484"), at("192.168.1.5:5483"))
        self.assertEqual((self.ports.endpoints, tuple(self.open)), (both, both))
        self.ports.close()
        self.assertEqual((self.ports.endpoints, self.open), ((), []))

    def test_ports_follow_the_addresses_of_the_interface(self) -> None:
        self.start()
        self.assertFalse(self.ports.follow())
        self.addresses = [V6, OTHER]
        self.assertTrue(self.ports.follow())
        self.assertEqual(self.open, [at("127.0.0.1:5484"), at("[2a00:77::10]:5483")])
        self.addresses = []
        self.assertTrue(self.ports.follow())
        self.assertEqual(self.ports.endpoints, (at("127.0.0.1:5484"),))

    def test_port_that_is_still_being_closed_is_waited_for(self) -> None:
        """Its address has gone in the turn before."""
        self.patch(Port, "closed", Deferred())
        self.start()
        self.addresses = [OTHER]
        self.ports.follow()
        Port.closed, still = None, Port.closed
        assert still is not None
        closing = self.ports.close()
        self.assertEqual(closing, [still])
        still.callback(None)
        self.assertEqual(self.ports.close(), [])

    def test_port_that_cannot_be_closed_is_said(self) -> None:
        self.patch(Port, "closed", fail(OSError("no")))
        self.make(ETH0)
        self.start()
        self.assertEqual(self.ports.close(), [])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_interface_that_comes_up_later_is_listened_on_then(self) -> None:
        self.make(ETH0)
        self.addresses = [OTHER]
        self.start()
        self.assertEqual(self.open, [])
        warnings = [text for level, text in self.log if level is LogLevel.warn]
        self.assertEqual(len(warnings), 1)
        self.assertIn("no interface eth0 has an address", warnings[0])
        self.assertIn("With addresses are wlan0", warnings[0])
        self.ports.follow()
        self.assertEqual(len([level for level, _ in self.log if level is LogLevel.warn]), 1)
        self.addresses = [OTHER, V4]
        self.assertTrue(self.ports.follow())
        self.assertEqual(self.log[-1], (LogLevel.info, "listening on 192.168.1.5:5483"))

    def test_address_that_is_not_ours_yet_is_tried_again(self) -> None:
        """IPv6 looks for another host with it for a second or two."""
        self.addresses = [V4, V6]
        self.refused = {at("[2a00:77::10]:5483"): errno.EADDRNOTAVAIL}
        self.start()
        self.assertEqual(self.ports.endpoints[1:], (at("192.168.1.5:5483"),))
        self.addresses.append(LINK_LOCAL)
        self.refused[at("[fe80::5%eth0]:5483")] = errno.EADDRNOTAVAIL
        self.assertFalse(self.ports.follow())
        self.assertEqual([text for level, text in self.log if level is LogLevel.warn], [])
        self.addresses.remove(LINK_LOCAL)
        self.refused.clear()
        self.assertTrue(self.ports.follow())
        self.assertEqual(self.ports.endpoints[2:], (at("[2a00:77::10]:5483"),))

    def test_port_that_is_taken_keeps_a_node_from_starting(self) -> None:
        self.refused = {at("192.168.1.5:5483"): errno.EADDRINUSE}
        self.assertRaises(CannotListen, self.start)
        self.assertEqual((self.open, self.ports.endpoints), ([], ()))
        self.assertFalse(self.ports.follow())

    def test_port_that_is_taken_later_is_said_once(self) -> None:
        self.start()
        self.addresses = [V4, V6]
        self.refused = {at("[2a00:77::10]:5483"): errno.EADDRINUSE}
        self.assertFalse(self.ports.follow())
        self.assertFalse(self.ports.follow())
        warnings = [text for level, text in self.log if level is LogLevel.warn]
        self.assertEqual(
            warnings, ["cannot listen on [2a00:77::10]:5483. It is tried again when the network changes"]
        )

    def test_client_listens_nowhere(self) -> None:
        self.make(ETH0, role=Role.CLIENT)
        self.start()
        self.ports.follow()
        self.assertEqual(self.open, [])
