"""One connection through a forward, whose link is broken in every way: all bytes come, once and in order."""

from __future__ import annotations

import signal
import sys
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from ..daemon.children import Child
from .lab import Lab
from .layout import RENDEZVOUS
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

reactor: Any = _reactor
SERVED: Final = 8080
FORWARDED: Final = 8081
_ECHO: Final = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
connection, _ = server.accept()
while data := connection.recv(65536):
    connection.sendall(data)
"""
_CLIENT: Final = """
import random, socket, sys, threading
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
for line in sys.stdin:
    data = random.Random(line).randbytes(1_000_000)
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        piece = connection.recv(65536)
        if not piece:
            sys.exit("the connection has ended")
        if not got:
            print("begun", line, flush=True)
        got += piece
    sender.join()
    print("echoed" if got == data else "garbled", line, flush=True)
"""


class SurvivingTests(LabTestCase):
    async def test_connection_outlives_its_links(self) -> None:
        """A NAT forgets its table, or gets another address; a device is off for a time; a relay is killed."""
        home = Router(Nat.SYMMETRIC)
        lab = self.build({"alice": home, "bob": Router(Nat.SYMMETRIC)}, delay=0.010)
        await self.start(lab)
        for number, harm in enumerate(
            (
                lambda: lab.forget_connections(home),
                lambda: lab.change_address(home),
                lambda: lab.link("alice", up=False),
            )
        ):
            self.ask(number)
            await self.client.wait_for(rf"^begun {number}$")
            harm()
            await self.alice.wait_for(
                rf"(?s)((?:waiting for another one|resumed over another link).*){{{number + 1}}}"
            )
            lab.link("alice", up=True)
            await self.client.wait_for(rf"^(?:echoed|garbled) {number}$")
        self.ask(9)
        await self.client.wait_for(r"^begun 9$")
        relay = await self.relay()
        relay.signal(signal.SIGKILL)
        await self.client.wait_for(r"^(?:echoed|garbled) 9$")
        self.assertNotIn("garbled", self.client.out)

    async def relay(self) -> LabNode:
        """The node that the link goes through, once there is a link."""
        while True:
            via = [
                each["via"] for each in (await self.alice.status())["links"] if each["peer"] == self.bob.name
            ]
            for each in self.relays:
                if each.name in via:
                    return each

    def ask(self, number: int) -> None:
        """Have the client send, and get back, some megabytes."""
        self.to_client.write(b"%d\n" % number)

    async def start(self, lab: Lab) -> None:
        quick = "--set=inactivity_timeout=6"
        first = await self.start_first(lab, quick)
        options = [quick, f"--contact={first.contact(lab.rendezvous[0])}"]
        second = await self.start_node(lab, RENDEZVOUS, *options, f"--listen={lab.rendezvous[1]}:{PORT}")
        self.relays: list[LabNode] = [first, second]
        options += [f"--contact={second.contact(lab.rendezvous[1])}", f"--listen=0.0.0.0:{PORT}"]
        exposed = (f"--expose=echo=tcp:127.0.0.1:{SERVED}", "--allow-peer=echo=*")
        self.bob = await self.start_node(lab, "bob", *options, *exposed)
        server, _ = self.program(lab, "bob", _ECHO, SERVED)
        await server.wait_for("^listening")
        forward = f"--forward=tcp:{FORWARDED}={self.bob.name}/echo"
        self.alice = await self.start_node(lab, "alice", *options, forward)
        await self.alice.linked_with(self.bob)
        self.client, self.to_client = self.program(lab, "alice", _CLIENT, FORWARDED)
        await self.client.wait_for("^connected")

    def program(self, lab: Lab, host: str, text: str, port: int) -> tuple[Child, Any]:
        """Run a Python program on a host; it ends with the test."""
        child = Child()
        place = ["ip", "netns", "exec", lab.namespace(host).name, sys.executable, "-u", "-c", text, str(port)]
        transport = reactor.spawnProcess(child, "ip", place, env=None)

        def end() -> Deferred[int] | None:
            if not child.running:
                return None
            transport.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        return child, transport
