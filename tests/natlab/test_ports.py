"""Networks that let out only the ports of the web, and contacts that listen on one of these."""

from __future__ import annotations

import sys
from typing import Final

from .lab import Lab
from .layout import RENDEZVOUS
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

WEB: Final = (80, 443)
JOINED_WITHIN: Final = 15.0
"""Seconds from the start of a node to its membership: some two on an idle machine."""


_PORTAL: Final = """
import socket, sys
server = socket.create_server((sys.argv[1], 443), backlog=64)
while True:
    connection, _ = server.accept()
    connection.recv(9999)
    connection.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://login.example/\\r\\n\\r\\n")
    connection.close()
"""


class WebPortsTests(LabTestCase):
    async def first_on(self, lab: Lab, port: int) -> tuple[LabNode, str]:
        """A network whose first node listens on this port, and the contact of that as an option."""
        node = await self.start_node(lab, RENDEZVOUS, "--first", f"--listen={lab.rendezvous[0]}:{port}")
        return node, f"--contact={node.contact(lab.rendezvous[0], port)}"

    async def joined(self, node: LabNode) -> None:
        """A node has joined in time, by its own clock."""
        await node.wait_for(r"connected \(was bootstrapping\)$")
        status = await node.status()
        self.assertNotEqual(status["table"], [])
        self.assertLess(status["uptime"], JOINED_WITHIN)

    async def test_node_joins_by_a_contact_on_443_and_talks_to_others(self) -> None:
        """Two that are let out to the web only join by that contact, and are linked through it."""
        office = Router(Nat.PORT_RESTRICTED, lets_out=WEB)
        lab = self.build({"alice": office, "bob": Router(Nat.SYMMETRIC, lets_out=WEB)}, delay=0.010)
        first, contact = await self.first_on(lab, 443)
        nodes = []
        for host in ("alice", "bob"):
            nodes.append(await self.start_node(lab, host, contact, f"--listen=0.0.0.0:{PORT}"))
            await self.joined(nodes[-1])
        alice, bob = nodes
        await alice.linked_with(bob)
        await bob.linked_with(alice)
        await alice.send(bob, "through the only port")
        await alice.send(first, "to the contact")

    async def test_captive_portal_is_called_one(self) -> None:
        """Something else than the contact answers, as a network does where one has to log in first."""
        lab = self.build({"alice": Router(Nat.PORT_RESTRICTED)})
        here = lab.rendezvous[0]
        lab.popen(RENDEZVOUS, sys.executable, "-c", _PORTAL, here)
        alice = await self.start_node(lab, "alice", f"--contact={here}:443")
        await alice.wait_for(
            rf"no contact let us in \({here}:443: HTTP came instead of TLS: .* captive portal"
        )

    async def test_node_behind_a_nat_joins_by_its_only_contact_on_443(self) -> None:
        """Where everything is let out it waited a minute, too."""
        lab = self.build({"alice": Router(Nat.PORT_RESTRICTED)}, delay=0.010)
        first, contact = await self.first_on(lab, 443)
        alice = await self.start_node(lab, "alice", contact, f"--listen=0.0.0.0:{PORT}")
        await self.joined(alice)
        await alice.send(first, "to the contact")
