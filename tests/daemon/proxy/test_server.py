"""A proxy at one of two nodes in memory, with a program at the other one."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogPublisher, formatEvent

from routing_crust.daemon.forward.exposer import Exposer
from routing_crust.daemon.proxy import server as serving
from routing_crust.daemon.proxy.connection import EARLY_BYTES, HANDSHAKE_SECONDS, LINGER_SECONDS
from routing_crust.daemon.proxy.server import ProxyServer
from routing_crust.errors import CannotListen, ConfigurationError
from routing_crust.forwarding_rules import Exposure
from routing_crust.quietlog import MAX_INTERVAL_SECONDS
from routing_crust.routing.naming.directory import PeerDirectory
from routing_crust.streams import streams_of
from tests.daemon.control.wires import Program, Wire
from tests.daemon.forward.test_registry import CarryingCase

GREETING = b"\x05\x01\x00"


class Client(Wire):
    """A program at the proxy; its transport is told of half-closes only where its protocol knows of them."""

    def _write_lost(self) -> None:
        if not self.over and IHalfCloseableProtocol.providedBy(self.protocol):
            super()._write_lost()


def socks(host: str, port: int = 80) -> bytes:
    return bytes([5, 1, 0, 3, len(host)]) + host.encode() + port.to_bytes(2, "big")


class ProxyCase(CarryingCase):
    def setUp(self) -> None:
        super().setUp()
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        self.patch(ProxyServer, "log", Logger(observer=observer))
        self.client.directory = PeerDirectory(
            {"home": self.server.node_name, "Off": self.net.identity().name}, False, lambda: (), lambda: None
        )
        self.proxy = ProxyServer(self.registries[1], "tcp:1080", MemoryReactorClock())

    def stop(self) -> None:
        self.net.result(self.proxy.stop())
        super().stop()

    def offer(self, protocol: str, everyone: bool = True) -> Program:
        program = Program(self.net.clock)
        self.registries[0].expose(
            Exposer(
                Exposure(protocol, "tcp:localhost:8080"),
                self.server.directory.allowance(["*"] if everyone else ()),
                program,
                streams_of(self.server),
            )
        )
        return program

    def connect(self, data: bytes = b"") -> Client:
        connection = self.proxy.buildProtocol(None)
        assert connection is not None
        client = Client(self.net.clock)
        client.join(connection)
        if data:
            client.send(data)
        return client

    def answered(self, data: bytes) -> bytes:
        client = self.connect(data)
        self.net.run(lambda: client.ended or client.over)
        return client.written

    def proxied(self) -> list[Any]:
        streams: Any = self.registries[1].status()["streams"]
        return [each for each in streams if each["kind"] == "proxied"]


class CarryTests(ProxyCase):
    def test_socks_reaches_what_a_peer_exposes(self) -> None:
        program = self.offer("web")
        client = self.connect(GREETING)
        self.assertEqual(client.written, b"\x05\x00")
        client.send(socks("home.crust") + b"early")
        self.net.run(lambda: program.wires and program.wires[0].written == b"early")
        program.wires[0].send(b"answer")
        self.net.run(lambda: client.written.endswith(b"answer"))
        self.assertEqual(client.written, b"\x05\x00\x05\0\0\1" + bytes(6) + b"answer")
        (stream,) = self.proxied()
        self.assertEqual((stream["protocol"], stream["sent"], stream["received"]), ("web", 5, 6))
        client.end()
        program.wires[0].end()
        self.net.run(self.over)
        self.assertEqual(client.closed, "closed")

    def test_connect_passes_bytes_both_ways_as_websockets_need(self) -> None:
        program = self.offer("chat")
        client = self.connect(b"CONNECT chat.home.crust:80 HTTP/1.1\r\n\r\n")
        self.net.run(lambda: client.written)
        self.assertEqual(client.written, b"HTTP/1.1 200 Connection established\r\n\r\n")
        for number in range(3):
            client.send(b"ping")
            self.net.run(lambda number=number: program.wires[0].written == b"ping" * (number + 1))
            program.wires[0].send(b"pong")
            self.net.run(lambda number=number: client.written.count(b"pong") == number + 1)

    def test_one_request_passes_and_nothing_behind_it(self) -> None:
        """What comes behind it may be for another host."""
        program = self.offer("web")
        client = self.connect(b"POST http://home.crust/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
        self.net.run(lambda: program.wires and program.wires[0].written.endswith(b"ab"))
        client.send(b"cGET http://other.crust/secret HTTP/1.1\r\n\r\n")
        self.net.run(lambda: client.over)
        self.net.settle(1)
        head = b"POST / HTTP/1.1\r\nHost: home.crust\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        self.assertTrue(program.wires[0].written.startswith(head))
        self.assertNotIn(b"secret", program.wires[0].written)

    def test_head_of_a_request_reaches_the_program_one_way_after_it_came(self) -> None:
        """The stream is asked for, and does not have to be there."""
        program = self.offer("web")
        first = self.connect(b"GET http://home.crust/ HTTP/1.1\r\n\r\n")
        self.net.run(lambda: program.wires and program.wires[0].written)
        self.net.network.latency = 0.1
        self.connect(b"GET http://home.crust/picture HTTP/1.1\r\n\r\n")
        self.net.run(lambda: len(program.wires) == 2 and program.wires[1].written, 0.15)
        self.assertTrue(program.wires[1].written.startswith(b"GET /picture HTTP/1.1\r\n"))
        self.assertFalse(first.over)

    def test_answer_of_the_program_ends_the_connection(self) -> None:
        program = self.offer("web")
        client = self.connect(b"GET http://home.crust/ HTTP/1.1\r\n\r\n")
        self.net.run(lambda: program.wires and program.wires[0].written)
        program.wires[0].send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        program.wires[0].lose(ConnectionDone())
        self.net.run(lambda: client.over)
        self.assertEqual((client.written, client.closed), (b"HTTP/1.1 200 OK\r\n\r\nhello", "closed"))

    def test_next_protocol_of_a_port_is_tried_where_the_first_is_not_offered(self) -> None:
        for protocol in ("http", "8443"):
            program = self.offer(protocol)
            port = 80 if protocol == "http" else 8443
            client = self.connect(GREETING + socks("home.crust", port))
            self.net.run(lambda client=client: len(client.written) > 2)
            self.assertEqual(len(program.wires), 1)
            self.assertEqual(self.proxied()[-1]["protocol"], protocol)
            client.lose()
            self.net.run(self.over)

    def test_much_that_comes_before_the_answer_makes_the_program_wait(self) -> None:
        program = self.offer("web")
        client = self.connect(GREETING + socks("home.crust"))
        client.send(bytes(EARLY_BYTES + 1))
        self.assertTrue(client.paused)
        self.net.run(lambda: program.wires and len(program.wires[0].written) == EARLY_BYTES + 1)
        self.assertFalse(client.paused)


class RefusalTests(ProxyCase):
    def test_other_hosts_and_addresses_are_refused_and_their_names_are_not_logged(self) -> None:
        self.assertEqual(self.answered(GREETING + socks("example.com"))[2:4], b"\x05\x02")
        page = self.answered(b"GET http://example.com/ HTTP/1.1\r\n\r\n")
        self.assertTrue(page.startswith(b"HTTP/1.1 403 "))
        self.assertIn(b"example.com is not of this network", page)
        page = self.answered(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n")
        self.assertTrue(page.startswith(b"HTTP/1.1 403 "))
        self.assertNotIn("example", "".join(self.lines))

    def test_request_that_is_none_is_refused_with_its_reason_in_the_log(self) -> None:
        for data, reason in (
            (b"\x16\x03\x01 no TLS here\r\n\r\n", "this is no request of HTTP/1.1"),
            (b"GET / HTTP/1.1\r\nX: " + bytes(40_000), "the head of the request is longer than 32768 bytes"),
            (b"\x04\x01", "it speaks SOCKS4, not SOCKS5"),
            (GREETING + socks("\0" * 255), "the host is not of this network"),
            (GREETING + b"\x05\x01\x00\x01\x7f\0\0\1\0\x16", "it asks for an address"),
            (b"GET http://example.com/ HTTP/1.1\r\n\r\n", "the host is not of this network"),
        ):
            # a few lines a minute at most come of this, however many requests there are
            self.net.settle(2 * MAX_INTERVAL_SECONDS)
            self.answered(data)
            self.assertIn(f"proxy: refused a program: {reason}", self.lines[-1])
            told = len(self.lines)
            for _ in range(20):
                self.answered(data)
            self.assertEqual(len(self.lines), told)

    def test_each_refusal_says_what_to_do(self) -> None:
        self.offer("web", everyone=False)
        for host, status, text in (
            ("nobody.crust", 502, b"nobody is known as nobody here"),
            ("db.home.crust", 502, b"home does not offer db: run"),
            ("home.crust", 403, b"home does not let this node use"),
        ):
            page = self.answered(f"GET http://{host}/ HTTP/1.1\r\n\r\n".encode())
            self.assertTrue(page.startswith(b"HTTP/1.1 %d " % status), page)
            self.assertIn(text, page)
            self.assertIn(f"proxy: not connected to {host}:80: ", self.lines[-1])
        self.assertEqual(self.answered(GREETING + socks("home.crust"))[3], 2)
        self.assertEqual(self.answered(GREETING + socks("db.home.crust"))[3], 5)
        self.assertEqual(self.answered(GREETING + socks("nobody.crust"))[3], 4)

    def test_log_has_a_few_lines_at_once_however_many_hosts_a_program_names(self) -> None:
        for number in range(5 * serving.REFUSALS_AT_ONCE):
            self.answered(GREETING + socks(f"host{number}.crust"))
        said = [line for line in self.lines if "not connected to" in line]
        self.assertEqual(len(said), serving.REFUSALS_AT_ONCE)

    def test_peer_that_is_off_is_a_refusal(self) -> None:
        client = self.connect(GREETING + socks("off.crust"))
        self.net.run(lambda: client.ended, timeout=200)
        self.assertEqual(client.written[3], 4)

    def test_program_that_does_not_run_is_a_refusal(self) -> None:
        self.offer("web").problem = ConnectionRefusedError(111, "Connection refused")
        page = self.answered(b"GET http://home.crust/ HTTP/1.1\r\n\r\n")
        self.assertTrue(page.startswith(b"HTTP/1.1 502 "))
        self.assertIn(b"the program there cannot be reached", page)


class BoundTests(ProxyCase):
    def test_who_says_nothing_is_cut_off(self) -> None:
        for said in (b"", b"\x05", b"GET http://home"):
            client = self.connect(said)
            self.net.settle(HANDSHAKE_SECONDS - 1)
            self.assertFalse(client.over)
            self.net.settle(2)
            self.assertEqual(client.closed, "aborted")

    def test_who_does_not_go_when_refused_is_cut_off(self) -> None:
        client = self.connect(GREETING + socks("example.com"))
        client.send(b"more")
        self.net.settle(LINGER_SECONDS + 1)
        self.assertEqual(client.closed, "aborted")

    def test_program_that_hangs_up_leaves_nothing(self) -> None:
        client = self.connect(GREETING + socks("off.crust"))
        self.net.settle(1)
        self.assertEqual(len(self.proxied()), 1)
        client.lose()
        self.net.settle(1)
        self.assertEqual(self.proxied(), [])

    def test_connections_are_bounded(self) -> None:
        self.patch(serving, "MAX_CONNECTIONS", 2)
        clients = [self.connect(GREETING + socks("off.crust")) for _ in range(2)]
        self.assertIsNone(self.proxy.buildProtocol(None))
        self.assertIn("no more are taken", self.lines[-1])
        clients[0].lose()
        self.connect()

    def test_who_has_not_said_for_longest_what_it_wants_makes_room(self) -> None:
        """A page of a browser can open hundreds, and half a request each would keep all others out."""
        self.patch(serving, "MAX_CONNECTIONS", 3)
        busy = self.connect(GREETING + socks("off.crust"))
        silent = [self.connect(b"GET http://ho"), self.connect()]
        late = self.connect(GREETING + socks("off.crust"))
        self.net.settle(1)
        self.assertEqual([each.closed for each in silent], ["aborted", ""])
        self.assertEqual([each.over for each in (busy, late)], [False, False])
        self.assertIn("that had not said where to", self.lines[-1])

    def test_stop_ends_those_that_ask_and_those_that_are_carried(self) -> None:
        program = self.offer("web")
        clients = [self.connect(), self.connect(GREETING + socks("home.crust"))]
        clients.append(self.connect(GREETING + socks("off.crust")))
        self.net.run(lambda: program.wires and self.proxied())
        self.net.settle(1)
        self.net.result(self.proxy.stop())
        self.assertEqual([each.closed for each in clients], ["aborted"] * 3)
        self.assertEqual(self.proxied(), [])


class ListeningTests(ProxyCase):
    def test_port_is_on_loopback_unless_it_names_an_interface(self) -> None:
        for text, interface in (("tcp:1080", "127.0.0.1"), ("tcp:1080:interface=0.0.0.0", "0.0.0.0")):
            reactor = MemoryReactorClock()
            proxy = ProxyServer(self.registries[1], text, reactor)
            proxy.start()
            ((port, _, _, where),) = reactor.tcpServers
            self.assertEqual((port, where), (1080, interface))
        self.assertIn("is open to every host that reaches this machine", self.lines[-1])

    def test_port_that_cannot_be_opened_is_named(self) -> None:
        def taken(*arguments: object, **options: object) -> None:
            raise CannotListenError("", 1080, OSError(98, "Address already in use"))

        self.patch(MemoryReactorClock, "listenTCP", taken)
        error = self.assertRaises(CannotListen, self.proxy.start)
        self.assertEqual(
            str(error),
            "the proxy cannot be at tcp:1080: Address already in use: stop the program that has it, or take "
            "another port",
        )
        error = self.assertRaises(ConfigurationError, ProxyServer, self.registries[1], "what", None)
        self.assertEqual(error.setting, "local_proxy")
