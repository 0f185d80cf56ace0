"""A stream between nodes behind NATs: programs that know nothing of them speak HTTP over a punched link."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import Any, Final

from twisted.internet import reactor as _reactor

from .lab import Lab
from .layout import RENDEZVOUS
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

reactor: Any = _reactor
SIZE: Final = 1_000_000
SERVED: Final = 8080
FORWARDED: Final = 8081


class HttpTests(LabTestCase):
    async def test_every_byte_of_http_comes_over_a_punched_link(self) -> None:
        """A web server behind one NAT, a client behind another: every byte comes, and by no third node."""
        lab = self.build(
            {"alice": Router(Nat.PORT_RESTRICTED), "bob": Router(Nat.PORT_RESTRICTED)}, delay=0.010
        )
        contacts = await self.contacts(lab)
        content = Random(1).randbytes(SIZE)
        await self.serve(lab, "bob", "large", content, SERVED)
        bob = await self.start_node(
            lab, "bob", *contacts, f"--expose=web=tcp:127.0.0.1:{SERVED}", "--allow-peer=web=*"
        )
        forward = f"--forward=tcp:{FORWARDED}={bob.name}/web"
        alice = await self.start_node(lab, "alice", *contacts, forward)
        for node, peer in ((alice, bob), (bob, alice)):
            outside = lab.public(peer.host).replace(".", r"\.")
            await node.wait_for(rf" link (?:to|from) node {peer.name} at {outside}:")
        await self.punched(alice, bob)
        got = await self.get(lab, "alice", f"http://127.0.0.1:{FORWARDED}/large")
        self.assertEqual(sha256(got).digest(), sha256(content).digest())
        await self.punched(alice, bob)

    async def contacts(self, lab: Lab) -> list[str]:
        """Two nodes on the internet, on different networks, as options."""
        first = await self.start_first(lab)
        options = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = await self.start_node(lab, RENDEZVOUS, *options, f"--listen={lab.rendezvous[1]}:{PORT}")
        return [
            *options,
            f"--contact={second.contact(lab.rendezvous[1])}",
            f"--listen=0.0.0.0:{PORT}",
        ]

    async def punched(self, alice: LabNode, bob: LabNode) -> None:
        """Both say that their link is a punched one."""
        self.assertEqual((await alice.path_kinds())[bob.name], "punched")
        self.assertEqual((await bob.path_kinds())[alice.name], "punched")
