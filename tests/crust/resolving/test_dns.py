"""Questions to real name servers: those of C{twisted.names}, and sockets that answer badly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import TestCase

from routing_crust.crust.resolving import dns as module
from routing_crust.crust.resolving.dns import Dns, Server
from routing_crust.crust.resolving.name_servers import Answer, NotResolved, Record, RecordKind
from tests.integration.programs import free_port

CLOCK: Any = reactor


class Zone(FileAuthority):
    """The zone C{example.org}."""

    def __init__(self) -> None:
        super().__init__("")

    def loadFile(self, filename: str) -> None:
        soa = dns.Record_SOA("ns.example.org", "root.example.org", 1, 1, 1, 1, 1)
        many = [dns.Record_TXT(b"x" * 200) for _ in range(40)]
        self.soa = (b"example.org", soa)
        self.records = {
            b"example.org": [soa],
            b"home.example.org": [dns.Record_A("192.0.2.1"), dns.Record_AAAA("2001:db8::1")],
            b"alias.example.org": [dns.Record_CNAME("home.example.org")],
            b"_routing-crust._tcp.example.org": [dns.Record_SRV(10, 5, 5483, "home.example.org")],
            b"text.example.org": [dns.Record_TXT(b"one ", b"text")],
            b"long.example.org": many,
        }


class Silent(DatagramProtocol):
    """Takes questions, and answers with the same bytes each time, or with nothing."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.asked.append(datagram)
        if self.answer:
            self.transport.write(datagram[:2] + self.answer, addr)


class Truncating(DatagramProtocol):
    """Says that its answer is too long for a datagram."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram[:2] + b"\x83\x80" + datagram[4:], addr)


class DnsTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.hosts = Path(self.mktemp())
        self.hosts.write_text("192.0.2.77 nas.lan NAS # a comment\n")

    def server(self, over_udp: DatagramProtocol | None = None) -> Server:
        factory = DNSServerFactory(authorities=[Zone()])
        factory.noisy = False
        # both have one number: one that the kernel gives for UDP may be taken by a connection of TCP
        port = free_port()
        udp = CLOCK.listenUDP(port, over_udp or dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
        tcp = CLOCK.listenTCP(port, factory, interface="127.0.0.1")
        self.addCleanup(udp.stopListening)
        self.addCleanup(tcp.stopListening)
        return "127.0.0.1", port

    def silent(self, answer: bytes = b"") -> Server:
        self.silence = Silent(answer)
        port = CLOCK.listenUDP(0, self.silence, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return "127.0.0.1", port.getHost().port

    def dns(self, *servers: Server) -> Dns:
        asker = Dns(CLOCK, servers=servers, hosts_file=self.hosts)
        self.addCleanup(asker.stop)
        return asker

    async def fails(self, asked: Deferred[Answer]) -> str:
        with self.assertRaises(NotResolved) as raised:
            await asked
        return str(raised.exception)

    async def test_each_kind_of_record_is_read(self) -> None:
        asker = self.dns(self.server())
        for name, kind, record in (
            ("home.example.org", RecordKind.A, Record("192.0.2.1")),
            ("home.example.org", RecordKind.AAAA, Record("2001:db8::1")),
            ("alias.example.org", RecordKind.A, Record("192.0.2.1")),
            ("_routing-crust._tcp.example.org", RecordKind.SRV, Record("home.example.org", 5483, 10, 5)),
            ("text.example.org", RecordKind.TXT, Record("one text")),
        ):
            self.assertEqual((await asker.ask(name, kind)).records, (record,))

    async def test_answer_too_long_for_a_datagram_comes_by_tcp(self) -> None:
        server = self.server(Truncating())
        answer = await self.dns(server).ask("long.example.org", RecordKind.TXT)
        self.assertEqual(len(answer.records), 40)

    async def test_errors_name_the_name_and_the_server(self) -> None:
        host, port = server = self.server()
        problem = await self.fails(self.dns(server).ask("nobody.example.org", RecordKind.A))
        self.assertEqual(
            problem, f"nobody.example.org: the name server {host} port {port} does not know this name"
        )

    async def test_name_without_such_a_record_has_an_empty_answer(self) -> None:
        self.assertEqual((await self.dns(self.server()).ask("text.example.org", RecordKind.A)).records, ())

    async def test_next_server_is_asked_when_one_is_silent_or_refuses(self) -> None:
        self.patch(module, "SECONDS_FOR_ANSWER", (1,))
        refuses = self.silent(bytes((0x81, 0x85)) + bytes(8))
        answer = await self.dns(self.silent(), refuses, self.server()).ask("home.example.org", RecordKind.A)
        self.assertEqual(answer.records, (Record("192.0.2.1"),))

    async def test_silence_of_all_servers_is_told_of_each(self) -> None:
        self.patch(module, "SECONDS_FOR_ANSWER", (1,))
        silent, nonsense = self.silent(), self.silent(b"\x81")
        problem = await self.fails(self.dns(silent, nonsense).ask("home.example.org", RecordKind.A))
        for server in (silent, nonsense):
            self.assertIn(f"127.0.0.1 port {server[1]} does not answer", problem)
        self.flushLoggedErrors()

    async def test_question_is_over_when_its_time_is_up(self) -> None:
        self.patch(module, "SECONDS_IN_ALL", 0.1)
        servers = [self.silent() for _ in range(3)]
        problem = await self.fails(self.dns(*servers).ask("home.example.org", RecordKind.A))
        self.assertEqual(problem.count("lack of time"), 2)

    async def test_stopping_leaves_nothing_open(self) -> None:
        """Trial finds what is left in the reactor."""
        asker = self.dns(self.silent())
        asked = asker.ask("home.example.org", RecordKind.A)
        await asker.stop()
        with self.assertRaises(CancelledError):
            await asked

    async def test_hosts_file_goes_before_servers(self) -> None:
        asker = self.dns(self.silent())
        answer = await asker.ask("nas", RecordKind.A)
        self.assertEqual((answer.records, answer.server), ((Record("192.0.2.77"),), str(self.hosts)))
        self.assertEqual((await asker.ask("nas.lan", RecordKind.AAAA)).records, ())
        self.assertEqual(self.silence.asked, [])

    async def test_servers_and_search_domains_are_read_from_the_file_of_the_system(self) -> None:
        host, port = self.server()
        self.patch(module.dns, "PORT", port)
        file = Path(self.mktemp())
        file.write_text(f"# of a router\nsearch no.example.org example.org\nnameserver {host}\noptions x\n")
        asker = Dns(CLOCK, resolv_conf=file, hosts_file=self.hosts)
        self.addCleanup(asker.stop)
        self.assertEqual((await asker.ask("home", RecordKind.A)).records, (Record("192.0.2.1"),))
        self.assertIn(
            f"the name server {host} does not know", await self.fails(asker.ask("other", RecordKind.A))
        )

    async def test_machine_without_name_servers_says_where_they_would_stand(self) -> None:
        missing = Path(self.mktemp())
        asker = Dns(CLOCK, resolv_conf=missing, hosts_file=self.hosts)
        self.assertIn(f"{missing} names none", await self.fails(asker.ask("home.example.org", RecordKind.A)))

    async def test_server_whose_address_makes_no_sense_is_told_of(self) -> None:
        problem = await self.fails(self.dns(("nonsense", 53)).ask("home.example.org", RecordKind.A))
        self.assertIn("nonsense", problem)
