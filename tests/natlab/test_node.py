"""The daemon on public hosts of a laboratory: three that find each other, and a message."""

from __future__ import annotations

import signal

from .node import PORT, LabTestCase


class ThreeNodesTests(LabTestCase):
    async def test_nodes_that_know_only_the_first_link_directly_and_send(self) -> None:
        """Two nodes that know only the first one link directly, and a message of the one is acknowledged."""
        lab = self.build({"alice": None, "bob": None}, delay=0.005)
        first = await self.start_first(lab)
        contact = f"--contact={first.contact(lab.rendezvous[0])}"
        alice = await self.start_node(lab, "alice", contact, f"--listen={lab.address('alice')}:{PORT}")
        bob = await self.start_node(lab, "bob", contact)
        for one, other in ((alice, first), (bob, first), (alice, bob), (bob, alice)):
            await one.linked_with(other)
        await alice.send(bob, "through the laboratory")
        path_kinds = await alice.path_kinds()
        self.assertEqual(path_kinds[bob.name], "direct")
        self.assertEqual(await bob.stop(), -signal.SIGTERM)
        again = await self.start_node(lab, "bob", contact, of=bob)
        self.assertEqual(again.name, bob.name)
