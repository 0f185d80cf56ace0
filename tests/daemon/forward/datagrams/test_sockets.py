"""Where UDP ports and programs are, as operators write it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.forward.datagrams.sockets import UdpPort, UdpTarget
from routing_crust.errors import ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward
from tests.daemon.fakes import ALICE

from .sockets import UdpReactor


class PortTests(SynchronousTestCase):
    def test_port_is_on_loopback_unless_it_names_an_interface(self) -> None:
        for text, where in (
            ("udp:5353", (5353, "127.0.0.1")),
            ("UDP:0", (0, "127.0.0.1")),
            ("udp6:5353", (5353, "::1")),
            ("udp:5353:interface=0.0.0.0", (5353, "0.0.0.0")),
            (r"udp6:5353:interface=\:\:", (5353, "::")),
            (r"udp:5353:interface=fe80\:\:1%eth0", (5353, "fe80::1%eth0")),
        ):
            reactor = UdpReactor()
            UdpPort(reactor, "forward", text).listen(DatagramProtocol())
            (socket,) = reactor.sockets
            self.assertEqual((socket.port, socket.interface), where)

    def test_text_that_is_no_port_is_refused(self) -> None:
        for text in (
            "udp:",
            "udp:x",
            "udp:65536",
            "udp:-1",
            "udp:5353:eth0",
            "udp:1:interface=here",
            "udp:1:2:3",
        ):
            error = self.assertRaises(ConfigurationError, UdpPort, UdpReactor(), "forward", text)
            self.assertEqual(error.setting, "forward")
            self.assertIn("write udp:PORT, such as udp:5353", str(error))


class TargetTests(SynchronousTestCase):
    def test_socket_takes_datagrams_from_the_program_alone(self) -> None:
        for text, to, interface in (
            ("udp:127.0.0.1:53", "127.0.0.1", ""),
            (r"udp:\:\:1:53", "::1", "::"),
            ("udp:[::1]:53", "::1", "::"),
            ("udp6:::1:53", "::1", "::"),
            ("udp:localhost:53", "127.0.0.1", ""),
            ("udp:six:53", "::1", "::"),
        ):
            reactor, protocol = UdpReactor(), DatagramProtocol()
            target = UdpTarget(reactor, "expose", text)
            self.successResultOf(Deferred.fromCoroutine(target.connect(protocol)))
            (socket,) = reactor.sockets
            self.assertEqual((socket.to, socket.port, socket.interface), ((to, 53), 0, interface))

    def test_text_that_is_no_program_is_refused(self) -> None:
        for text in ("udp:", "udp:53", "udp:h:", "udp:h:0", "udp:h:x", "udp::53", "udp:host=h:port=5"):
            error = self.assertRaises(ConfigurationError, UdpTarget, UdpReactor(), "expose", text)
            self.assertIn("write udp:HOST:PORT, such as udp:127.0.0.1:53", str(error))


class RuleTests(SynchronousTestCase):
    def test_kind_is_that_of_the_endpoint(self) -> None:
        dns, web = Exposure.from_text("dns=udp:127.0.0.1:53 keep 1m"), Exposure.from_text("web=tcp:h:80")
        self.assertEqual((dns.is_udp, dns.offered, web.is_udp, web.offered), (True, "dns+udp", False, "web"))
        forward = Forward.from_text("udp:5353=home/dns", {"home": ALICE})
        self.assertEqual((forward.is_udp, forward.wanted, forward.listen), (True, "dns+udp", "udp:5353"))
        self.assertEqual(Forward.from_text("5353=home/dns", {"home": ALICE}).wanted, "dns")
