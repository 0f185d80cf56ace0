"""
UDP across two daemons, with programs that know nothing of this package: C{dig} asks C{dnsmasq}.
"""

from __future__ import annotations

import signal
import socket

from twisted.trial.unittest import SkipTest

from tests.integration.programs import Program, find, free_port, missing
from tests.integration.test_daemons import asynchronous
from tests.integration.test_forwarding import TwoDaemonsCase

ANSWER = "192.0.2.7"
LARGE = "x" * 200
"""Of which a name has as many as no packet of Ethernet holds."""


class DnsTests(TwoDaemonsCase):
    async def dnsmasq(self, address: str) -> tuple[Program, int]:
        """A server for DNS, and its port."""
        path = find("dnsmasq")
        assert path is not None
        port = free_port()
        records = [f"--txt-record=large.test,{number}{LARGE}" for number in range(12)]
        server = self.program(
            path,
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
            "--edns-packet-max=4096",
            f"--port={port}",
            f"--listen-address={address}",
            "--bind-interfaces",
            f"--address=/printer.test/{ANSWER}",
            *records,
        )
        await server.says(b"started")
        return server, port

    async def dig(self, port: int, *words: str) -> tuple[str, int]:
        patience = ("+tries=30", "+time=10")
        out, status = await self.output("dig", "@127.0.0.1", "-p", str(port), *patience, *words)
        return out.decode(), status

    async def add_forward(self, protocol: str) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        where = f"--state-dir={self.client.state_dir}"
        out, err, status = await self.run_command("forward", "add", f"udp:{port}=there/{protocol}", where)
        self.assertEqual(
            (out, status), (f"forward: udp:{port}={self.server.name}/{protocol} added\n", 0), err
        )
        return port

    @asynchronous
    async def test_dig_asks_a_server_behind_another_daemon(self) -> None:
        """By IPv4 and, at the server, by IPv6; with answers that the system splits into packets."""
        if gone := missing({"dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base"}):
            raise SkipTest(gone)
        server, port = await self.dnsmasq("127.0.0.1")
        exposed = {"dns": f"udp:127.0.0.1:{port}"}
        try:
            _, port6 = await self.dnsmasq("::1")
            exposed["dns6"] = f"udp:[::1]:{port6}"
        except AssertionError:
            pass  # no IPv6 on this machine
        await self.two(exposed)
        for protocol in exposed:
            udp = await self.add_forward(protocol)
            answer, status = await self.dig(udp, "+short", "printer.test")
            self.assertEqual((answer, status), (f"{ANSWER}\n", 0))
            large, _ = await self.dig(udp, "+notcp", "+bufsize=4096", "+ignore", "TXT", "large.test")
            self.assertEqual(large.count(LARGE), 12, large)
        shown, _, _ = await self.run_command("status", f"--state-dir={self.client.state_dir}")
        self.assertRegex(shown, r"forwarded dns with there \(\w+\), for .* bytes sent, \d+ received")

        _, status = await self.dig(self.ports["dns"], "+tcp", "+tries=1", "printer.test")
        self.assertNotEqual(status, 0)
        await self.until(lambda: self.client.said("dns is UDP there: forward it with udp:PORT=NAME/dns"))

        udp = await self.add_forward("dns")
        server.signal(signal.SIGKILL)
        await server.ended
        await self.dig(udp, "+tries=1", "+time=1", "printer.test")
        await self.until(lambda: self.server.said("port unreachable: no program takes datagrams there"))
        await self.until(lambda: self.client.said("the program there cannot be reached"))
