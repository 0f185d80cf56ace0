"""Ports: all of them or none, and what is said when one cannot be had."""

from __future__ import annotations

import errno
import socket
from typing import Any
from unittest import mock

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SkipTest, TestCase

from routing_crust.crust.accept.ports import open_ports, real_endpoint
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CannotListen

from ..addresses import at

reactor: Any = _reactor


class ListeningTests(TestCase):
    def setUp(self) -> None:
        self.factory = Factory.forProtocol(Protocol)

    def open(self, *endpoints: Endpoint) -> tuple[Endpoint, ...]:
        ports = open_ports(reactor, self.factory, endpoints)
        for port in ports:
            self.addCleanup(port.stopListening)
        return tuple(map(real_endpoint, ports))

    def fails(self, *endpoints: Endpoint) -> str:
        readers = len(reactor.getReaders())
        error = self.assertRaises(CannotListen, self.open, *endpoints)
        self.assertEqual(len(reactor.getReaders()), readers)
        return str(error)

    def failing(self, number: int, only_v6: bool = False) -> Any:
        """Within this, no socket can be bound, or none of IPv6."""

        class Failing(socket.socket):
            def bind(self, address: Any) -> None:
                if self.family == socket.AF_INET6 or not only_v6:
                    raise OSError(number, "the system's words")
                super().bind(address)

        return mock.patch.object(socket, "socket", Failing)

    def test_ports_are_in_the_order_of_the_endpoints(self) -> None:
        """An empty list gives no ports and no error."""
        one, two = self.open(at("127.0.0.1:0"), at("127.0.0.2:0"))
        self.assertEqual((one.host, two.host), ("127.0.0.1", "127.0.0.2"))
        self.assertNotIn(0, (one.port, two.port))
        self.assertEqual(self.open(), ())

    def test_both_wildcards_listen_on_one_port(self) -> None:
        if not socket.has_ipv6:
            raise SkipTest("this Python has no IPv6")
        (six,) = self.open(at("[::]:0"))
        both = self.open(at(f"0.0.0.0:{six.port}"))
        self.assertEqual(both, (at(f"0.0.0.0:{six.port}"),))

    def test_port_in_use_is_named_with_advice(self) -> None:
        """The error names address and port and says what to do; the others are closed at once."""
        (taken,) = self.open(at("127.0.0.1:0"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = Endpoint(*probe.getsockname())
        text = self.fails(free, taken)
        self.assertIn(f"cannot listen on 127.0.0.1, port {taken.port}: another program", text)
        self.assertIn("set listen", text)
        with socket.socket() as again:
            again.bind((free.host, free.port))

    def test_second_node_does_not_get_a_shared_port(self) -> None:
        """The port can be dialled from all the same."""
        (taken,) = self.open(at("0.0.0.0:0"))
        with socket.socket() as dialling:
            dialling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            dialling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            dialling.bind(("127.0.0.1", taken.port))
            self.assertIn("another program listens there", self.fails(taken))
            self.assertIn("another program listens there", self.fails(at(f"127.0.0.1:{taken.port}")))

    def test_address_beside_the_wildcard_of_its_port_is_named_as_such(self) -> None:
        (taken,) = self.open(at("127.0.0.1:0"))
        for both in ((f"127.0.0.1:{taken.port}", f"0.0.0.0:{taken.port}"), ("[::]:1", "[::1]:1")):
            text = self.fails(*map(at, both))
            self.assertIn("has all addresses of this host at that port", text)
            self.assertNotIn("another program", text)

    def test_address_of_another_host_is_refused_with_advice(self) -> None:
        self.assertIn("does not have the address", self.fails(at("203.0.113.77:0")))

    def test_error_gives_the_advice_for_its_cause(self) -> None:
        for number, endpoint, words in (
            (errno.EACCES, "127.0.0.1:80", "ports below 1024"),
            (errno.EACCES, "127.0.0.1:8080", "the system's words: set listen"),
            (errno.ENOBUFS, "127.0.0.1:8080", "the system's words: set listen"),
            (errno.EAFNOSUPPORT, "[::1]:8080", "no IPv6"),
            (errno.EINVAL, "[fe80::1]:8080", "write it with its name, as in [fe80::1%eth0]:8080"),
            (errno.EINVAL, "[fe80::1%lo]:8080", "the system's words: set listen"),
        ):
            with self.failing(number):
                self.assertIn(words, self.fails(at(endpoint)))

    def test_ipv6_wildcard_is_left_out_without_ipv6(self) -> None:
        """Without IPv6 its wildcard is left out with a line; alone it is an error."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        with self.failing(errno.EAFNOSUPPORT, only_v6=True):
            self.assertIn("no IPv6", self.fails(at("[::]:0")))
            self.assertIn("no IPv6", self.fails(at("127.0.0.1:0"), at("[::1]:0")))
            self.assertEqual(len(self.open(at("127.0.0.1:0"), at("[::]:0"))), 1)
        (line,) = [formatEvent(each) for each in events if "listening on the rest" in formatEvent(each)]
        self.assertIn("cannot listen on ::", line)
