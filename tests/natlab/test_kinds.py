"""What nodes believe of the NATs that they are behind, when these are real ones."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SkipTest

from .lab import why_not
from .layout import RENDEZVOUS
from .matrix import Place
from .node import PORT, LabTestCase
from .router import Nat, Router, Stray

SYMMETRIC: Final = (Place.SYMMETRIC, Place.BLOCKED)
HOSTS: Final = ("one", "two", "three")
OPEN: Final = (Place.PUBLIC, Place.FULL_CONE)
"""Where a stranger may dial. That others see one port is all that can be known before one has."""


DIALABLE: Final = {
    **dict.fromkeys(OPEN, ("yes",)),
    # it lets in the witness that it has dialled, from any port; before that, the witness's dial tells "no"
    Place.RESTRICTED: ("unknown", "no"),
}
"""What a node finds out of whether it can be dialled; C{no} in the other places."""
KNOWN_WITHIN: Final = 60.0
"""Seconds from the start of a public node until it knows that it can be dialled: some four."""


class KindsTests(LabTestCase):
    async def test_public_nodes_know_soon_that_they_can_be_dialled(self) -> None:
        """All are linked with each other, so that nobody is a stranger who could prove it."""
        lab = self.build({"one": None, "two": None, "three": None}, delay=0.005)
        first = await self.start_first(lab)
        contact = f"--contact={first.contact(lab.rendezvous[0])}"
        nodes = [await self.start_node(lab, host, contact, f"--listen=0.0.0.0:{PORT}") for host in HOSTS]
        for node in (first, *nodes):
            await node.wait_for(r"others can dial us from outside \(NAT: open\)$")
            status = await node.status()
            self.assertEqual((status["nat"], status["dialable"]), ("open", "yes"))
            self.assertLess(status["dialable_seconds"] - status["uptime"], 0)
            self.assertLess(status["uptime"] - status["dialable_seconds"], KNOWN_WITHIN)

    async def test_nat_with_two_addresses_is_not_taken_for_a_cone(self) -> None:
        """It keeps the port, so that two observers who see the same address see a cone; a third is asked."""
        lab = self.build({"host": Router(Nat.PORT_RESTRICTED, pool=True), "third": None}, delay=0.005)
        first = await self.start_first(lab)
        contacts = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = await self.start_node(lab, RENDEZVOUS, *contacts, f"--listen={lab.rendezvous[1]}:{PORT}")
        third = await self.start_node(lab, "third", *contacts, f"--listen=0.0.0.0:{PORT}")
        contacts.append(f"--contact={second.contact(lab.rendezvous[1])}")
        contacts.append(f"--contact={third.contact(lab.public('third'))}")
        node = await self.start_node(lab, "host", *contacts, f"--listen=0.0.0.0:{PORT}")
        # two have seen one endpoint; and then the third has seen another
        outside = re.escape(lab.public("host"))
        await node.wait_for(rf"contact: \w+@{outside}:{PORT}$(?s:.*)\(NAT: unknown\)$")
        self.assertEqual((await node.status())["nat"], "unknown")

    async def test_node_learns_the_kind_of_its_nat_in_every_place(self) -> None:
        """
        The status of a node in each place: what two witnesses on different networks tell it, and then what it
        learns when somebody dials it whom it has never heard of.
        """
        places = list(Place)
        reason = why_not(delay=True)
        if reason:
            raise SkipTest(reason)
        at_once = os.cpu_count() or 1
        shares = [places[each::at_once] for each in range(min(at_once, len(places)))]
        await gatherResults([Deferred.fromCoroutine(self.check(each)) for each in shares])

    async def check(self, places: Sequence[Place]) -> None:
        """One after the other, so that none hears of another."""
        hosts = {each.name.lower().replace("_", ""): each for each in places}
        routers = {host: place.router(Stray.REJECT) for host, place in hosts.items()}
        lab = self.build({**routers, "stranger": None}, delay=0.005)
        first = await self.start_first(lab)
        contacts = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = f"--listen={lab.rendezvous[1]}:{PORT}"
        witness = await self.start_node(lab, RENDEZVOUS, *contacts, second)
        contacts.append(f"--contact={witness.contact(lab.rendezvous[1])}")
        for host, place in hosts.items():
            mapping = "symmetric" if place in SYMMETRIC else "cone"
            node = await self.start_node(lab, host, *contacts, f"--listen=0.0.0.0:{PORT}")
            # where a stranger may dial, a witness may have done so before this node has dialled it
            await node.wait_for(rf"\(NAT: {mapping}\)$" if place not in OPEN else r"\(NAT: (?:cone|open)\)$")
            stranger = await self.start_node(
                lab, "stranger", f"--contact={node.contact(lab.public(host))}", f"--listen=0.0.0.0:{PORT}"
            )
            if place in OPEN:
                await node.wait_for(r"others can dial us from outside \(NAT: open\)$")
            else:
                await stranger.wait_for(r"no contact let us in .*: connection refused\)")
            if place not in (*OPEN, Place.RESTRICTED):
                await node.wait_for(r"others cannot dial us from outside \(NAT: ")
            status = await node.status()
            self.assertEqual(status["nat"], "open" if place in OPEN else mapping, place)
            self.assertIn(status["dialable"], DIALABLE.get(place, ("no",)), place)
            # the next one has none but the witnesses
            await stranger.stop()
            await node.stop()
