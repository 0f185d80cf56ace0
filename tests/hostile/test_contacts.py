"""
Newcomers whose first contact serves its own ends, and whose second one is honest.

That they get in is what is tested here; how long it takes is a matter of the simulated network
(C{tests.routing.membership.test_proxy_trial}), since no machine is busy there.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import TestCase

from routing_crust import Contact, Endpoint, Identity, Role, RoutingService, Settings, State

from .children import Child
from .hostile_contacts import ACTS

NETWORK = "hostile-contacts"


class ContactTests(TestCase):
    timeout = 600

    async def begin(self) -> dict[str, Contact]:
        """Start two honest nodes and all hostile contacts; say where the latter are."""
        self.honest = self.node(Role.FIRST, ())
        (endpoint,) = self.honest.endpoints
        self.contact = Contact(endpoint, self.honest.node_name)
        self.other = self.node(Role.NODE, [self.contact])
        await self.other.when_group_connected()
        child = Child("from tests.hostile.hostile_contacts import main; main()", [NETWORK])
        self.addCleanup(child.kill)
        for act in ACTS:
            await child.said(f"{act}: ")
        pairs = (line.split(": ") for line in child.lines)
        return {act: Contact.from_text(where) for act, where in pairs}

    def node(self, role: Role, contacts: Sequence[Contact]) -> RoutingService:
        settings = Settings(
            network=NETWORK,
            role=role,
            contacts=tuple(contacts),
            listen=() if role is Role.CLIENT else (Endpoint("127.0.0.1", 0),),
            lan_discovery=False,
        )
        node = RoutingService(settings, identity=Identity.generate())
        node.startService()
        self.addCleanup(node.stopService)
        return node

    async def test_newcomer_joins_in_spite_of_each_hostile_contact(self) -> None:
        for act, where in (await self.begin()).items():
            newcomer = self.node(Role.NODE, (where, self.contact))
            await newcomer.when_group_connected()
            await newcomer.send(self.other.node_name, act.encode())
            await newcomer.stopService()

    async def test_newcomer_joins_in_spite_of_all_of_them(self) -> None:
        contacts = await self.begin()
        newcomer = self.node(Role.NODE, (*contacts.values(), self.contact))
        await newcomer.when_group_connected()
        await newcomer.send(self.other.node_name, b"here")

    async def test_client_is_served_in_spite_of_all_of_them(self) -> None:
        contacts = await self.begin()
        client = self.node(Role.CLIENT, (*contacts.values(), self.contact))
        await client.when_connected()
        await client.send(self.other.node_name, b"here")
        self.assertIs(client.state, State.CONNECTED)
