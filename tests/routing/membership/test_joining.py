"""Which nodes a joining node asks, and when, on a fake clock and without links."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.errors import ExpectedConnectionExpired
from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.connecting.outgoing_requests import RequestCooldown
from routing_crust.routing.membership.close_group_lookup import Group
from routing_crust.routing.membership.joining import Joiner
from routing_crust.routing.membership.routing_table import PeerEntry, RoutingTable
from routing_crust.routing.node import Node
from routing_crust.wire.messages import LinkUse


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


class SilentPeers:
    """Nodes that are asked and do not answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.cooldown = RequestCooldown(clock.seconds)
        self.asked: list[tuple[float, Name]] = []
        self.sought: set[Name] = set()

    def request_link(
        self, name: Name, use: LinkUse, via: ILink | None = None, informant: Name | None = None
    ) -> Deferred[ILink]:
        self.asked.append((self._clock.seconds(), name))
        self.cooldown.note(name)
        return fail(ExpectedConnectionExpired("nobody answers"))

    def is_seeking(self, name: Name) -> bool:
        return name in self.sought

    def is_cooling_down(self, name: Name) -> bool:
        return self.cooldown.left(name) > 0

    def cooldown_left(self, name: Name) -> float:
        return self.cooldown.left(name)

    def was_silent(self, name: Name) -> bool:
        return name in self.cooldown


class AskedLaterTests(SynchronousTestCase):
    """A member of the close group did not answer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.settings = Settings(lan_discovery=False)
        self.asking = SilentPeers(self.clock)
        self.neighbour, self.silent = name(2), name(3)
        table = RoutingTable(name(1), self.settings)
        table.add(PeerEntry(self.neighbour, None))
        self.members: tuple[Name, ...] = (self.silent, self.neighbour)
        own = SimpleNamespace(name=name(1))
        node = Node(self.settings, own, self.clock, Random(1), None, 1, self.clock.seconds)  # type: ignore[arg-type]
        self.joiner = Joiner(node, table, self, self.asking.request_link, self.asking, lambda: ())  # type: ignore[arg-type]

    def look_up(self, target: Name, via: ILink | None = None, of: Name | None = None) -> Deferred[Group]:
        """The lookup: the only neighbour answers with the nodes that it knows."""
        return succeed(Group(self.members, self.neighbour))

    def test_silent_member_is_asked_again_after_its_cooldown(self) -> None:
        """The request is repeated although no lookup names the member again."""
        self.joiner.wake()
        self.clock.pump([0.25] * 8)
        self.assertEqual([each for _, each in self.asking.asked], [self.silent])
        first = self.asking.asked[0][0]
        self.members = (self.neighbour,)
        self.joiner._without_looking = 0
        self.clock.pump([0.25] * 200)
        self.assertEqual([each for _, each in self.asking.asked][:2], [self.silent] * 2)
        later = self.asking.asked[1][0] - first
        self.assertTrue(10 <= later <= 35, later)
        self.joiner.rest()

    def test_member_that_a_stream_asks_already_is_asked_later(self) -> None:
        """Two requests between the same ports get into each other's way; a link for one serves both."""
        self.asking.sought.add(self.silent)
        self.joiner.wake()
        self.clock.pump([0.25] * 40)
        self.assertEqual(self.asking.asked, [])
        self.assertFalse(self.joiner.group_connected)
        self.asking.sought.clear()
        self.clock.pump([0.25] * 80)
        self.assertEqual([each for _, each in self.asking.asked][:1], [self.silent])
        self.joiner.rest()


class LiarTests(SynchronousTestCase):
    """The node nearest to a newcomer answers all lookups with names that nobody has."""

    def setUp(self) -> None:
        self.clock = Clock()
        settings = Settings(lan_discovery=False)
        self.asking = SilentPeers(self.clock)
        self.proxy, self.liar = name(1000), name(9)
        self.honest = tuple(name(1000 + number) for number in range(1, 5))
        self.invented = 10
        self.nearest: Deferred[Group] | None = None
        own = SimpleNamespace(name=name(1))
        node = Node(settings, own, self.clock, Random(1), None, 1, self.clock.seconds)  # type: ignore[arg-type]
        hops = (SimpleNamespace(peer=self.proxy),)
        self.table = RoutingTable(name(1), settings)
        self.joiner = Joiner(node, self.table, self, self.asking.request_link, self.asking, lambda: hops)  # type: ignore[arg-type,return-value]

    def look_up(self, target: Name, via: ILink | None = None, of: Name | None = None) -> Deferred[Group]:
        """The proxy itself tells the truth; who answers for the name does not, if at all."""
        if of is not None:
            return succeed(Group(self.honest, of))
        if self.nearest is not None:
            return self.nearest
        self.invented += 8
        return succeed(Group(tuple(name(self.invented + number) for number in range(8)), self.liar))

    def asked_in_a_round(self) -> list[Name]:
        self.joiner.wake()
        self.clock.pump([0.25] * 4)
        asked = [each for _, each in self.asking.asked]
        self.joiner.rest()
        return asked

    def test_names_of_a_liar_leave_room_for_those_that_the_proxy_knows(self) -> None:
        asked = [each for each in self.asked_in_a_round() if each in self.honest]
        self.assertEqual(asked, [*self.honest[:2]])

    def test_names_of_a_liar_leave_room_for_those_that_a_member_knows(self) -> None:
        self.table.add(PeerEntry(self.proxy, None))
        asked = [each for each in self.asked_in_a_round() if each in self.honest]
        self.assertEqual(asked, [*self.honest[:2]])

    def test_lookup_that_is_not_answered_does_not_keep_a_newcomer_waiting(self) -> None:
        self.nearest = Deferred(lambda _: None)
        self.assertEqual(self.asked_in_a_round(), [*self.honest[:2]])
