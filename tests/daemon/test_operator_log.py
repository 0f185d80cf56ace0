"""
What a node tells its operator.
"""

from __future__ import annotations

from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.reachability import Dialable, Reachability
from routing_crust.daemon.operator_log import OperatorLog
from routing_crust.endpoints import Connection, Direction, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason
from routing_crust.forwarding_rules import Exposure, Nickname, Permission
from routing_crust.routing.events import (
    EndpointsChanged,
    GroupConnectedChanged,
    LinkFacts,
    LinkGained,
    LinkLost,
    PeerJoined,
    PeerLeft,
    ReachabilityChanged,
    StateChanged,
)
from routing_crust.routing.state import State
from routing_crust.trust.networks import network_of
from routing_crust.wire.messages import LinkUse, NatKind

from .fakes import ALICE, BOB, FakeService

HERE = Endpoint("192.0.2.1", 5483)
THERE = Endpoint("192.0.2.2", 6000)


def link(
    direction: Direction, two_way: bool = True, is_client: bool = False, path_kind: PathKind = PathKind.DIRECT
) -> LinkFacts:
    return LinkFacts(
        BOB, Connection(Protocol.TCP, THERE, HERE), direction, LinkUse.MEMBER, two_way, is_client, path_kind
    )


class OperatorLogTests(SynchronousTestCase):
    """One line for each thing that happens."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.patch(
            OperatorLog,
            "log",
            Logger(observer=LogPublisher(lambda event: self.lines.append(formatEvent(event)))),
        )
        self.service = FakeService(Settings(network="lab"))
        self.log = OperatorLog(self.service)  # type: ignore[arg-type]
        self.service.startService()

    def tell(self, event: object) -> list[str]:
        self.lines.clear()
        self.service.observers.tell(event)
        return self.lines

    def test_who_this_is_with_a_line_to_copy(self) -> None:
        self.log.starting()
        self.log.started()
        self.assertEqual(
            self.lines,
            [
                f"this is the node {ALICE} of the network lab",
                "this network is open: anybody who knows its id can join",
                f"contact: {ALICE}@127.0.0.1:5483",
            ],
        )

    def test_open_network_says_what_anybody_may_use(self) -> None:
        everyone = Permission.from_text("web=*", {})
        expose = (Exposure.from_text("web=tcp:localhost:80"), Exposure.from_text("ssh=tcp:localhost:22"))
        self.service.settings = Settings(expose=expose, allow_peer=(everyone, Permission("ssh", BOB)))
        self.log.starting()
        self.assertEqual(
            self.lines[1], "this network is open: anybody who knows its id can join, and use web here"
        )

    def test_private_network_says_nothing_of_strangers(self) -> None:
        self.service.settings = Settings(network=network_of(ALICE))
        self.log.starting()
        self.assertEqual(self.lines, [f"this is the node {ALICE} of the network {network_of(ALICE)}"])

    def test_a_first_node_waits_in_good_health(self) -> None:
        self.service.settings = Settings(role=Role.FIRST, network="lab")
        self.service.state = State.DISCONNECTED
        self.log.started()
        self.assertEqual(self.lines, [f"contact: {ALICE}@127.0.0.1:5483", "waiting for the first peer"])
        self.assertEqual(
            self.tell(StateChanged(State.CONNECTED, State.DISCONNECTED)),
            ["disconnected (was connected); waiting for a peer"],
        )

    def test_a_client_has_no_contact(self) -> None:
        self.service.settings = Settings(role=Role.CLIENT, network="lab")
        self.service.endpoints = ()
        self.log.starting()
        self.log.started()
        self.assertEqual(self.lines[0], f"this is the client {ALICE} of the network lab")
        self.assertEqual(len(self.lines), 2)

    def test_a_contact_is_said_once(self) -> None:
        self.log.started()
        self.assertEqual(self.tell(EndpointsChanged(self.service.endpoints)), [])
        self.assertEqual(
            self.tell(EndpointsChanged((*self.service.endpoints, HERE))), [f"contact: {ALICE}@192.0.2.1:5483"]
        )

    def test_state_changes_are_logged(self) -> None:
        self.assertEqual(
            self.tell(StateChanged(State.BOOTSTRAPPING, State.CONNECTED)), ["connected (was bootstrapping)"]
        )

    def test_attempts_to_bootstrap_are_one_line_until_one_succeeds(self) -> None:
        """Nor has the end a line here: the daemon says that it has stopped."""
        steps = [
            (State.DISCONNECTED, State.BOOTSTRAPPING),
            (State.BOOTSTRAPPING, State.DISCONNECTED),
            (State.DISCONNECTED, State.BOOTSTRAPPING),
            (State.BOOTSTRAPPING, State.CONNECTED),
            (State.CONNECTED, State.DISCONNECTED),
            (State.DISCONNECTED, State.BOOTSTRAPPING),
            (State.BOOTSTRAPPING, State.TERMINATED),
        ]
        said = [line for old, new in steps for line in list(self.tell(StateChanged(old, new)))]
        self.assertEqual(
            said,
            [
                "bootstrapping (was disconnected)",
                "connected (was bootstrapping)",
                "disconnected (was connected)",
                "bootstrapping (was disconnected)",
            ],
        )

    def test_a_peer_with_a_nickname_is_called_by_it(self) -> None:
        self.service.settings = Settings(network="lab", nicknames=(Nickname("bob", BOB),))
        self.log.stop()
        self.log = OperatorLog(self.service)  # type: ignore[arg-type]
        said = self.tell(LinkGained(link(Direction.CONNECTED)))
        self.assertEqual(said, [f"link to node bob ({BOB.short}) at 192.0.2.2:6000 for member"])

    def test_links_with_all_neighbours_are_logged(self) -> None:
        self.assertEqual(self.tell(GroupConnectedChanged(True)), ["linked with all neighbours"])
        self.assertEqual(self.tell(GroupConnectedChanged(False)), ["links with some neighbours are missing"])
        self.service.stopService()
        self.assertEqual(self.tell(GroupConnectedChanged(False)), [])

    def test_changes_of_the_routing_table_are_logged(self) -> None:
        self.assertEqual(self.tell(PeerJoined(BOB)), [f"{BOB} is in the routing table"])
        self.assertEqual(self.tell(PeerLeft(BOB)), [f"{BOB} has left the routing table"])

    def test_reachability_is_logged_in_words(self) -> None:
        for nat, dialable, said in (
            (NatKind.OPEN, Dialable.YES, "others can dial us from outside (NAT: open)"),
            (NatKind.CONE, Dialable.NO, "others cannot dial us from outside (NAT: cone)"),
            (
                NatKind.SYMMETRIC,
                Dialable.UNKNOWN,
                "whether others can dial us from outside is not known (NAT: symmetric)",
            ),
        ):
            self.assertEqual(self.tell(ReachabilityChanged(Reachability(nat, dialable, 0.0))), [said])

    def test_links_with_direction_name_and_address(self) -> None:
        self.assertEqual(
            self.tell(LinkGained(link(Direction.CONNECTED))),
            [f"link to node {BOB} at 192.0.2.2:6000 for member"],
        )
        self.assertEqual(
            self.tell(LinkGained(link(Direction.ACCEPTED, two_way=False, is_client=True))),
            [f"link from client {BOB} at 192.0.2.2:6000 for member, one-way"],
        )
        self.assertEqual(
            self.tell(LinkGained(link(Direction.CONNECTED, two_way=False, path_kind=PathKind.PUNCHED))),
            [f"link to node {BOB} at 192.0.2.2:6000 for member, punched, one-way"],
        )

    def test_lost_links_with_the_reason(self) -> None:
        facts = link(Direction.ACCEPTED)
        self.assertEqual(
            self.tell(LinkLost(facts, CloseReason.STOPPING, "")),
            [f"lost the link from {BOB} at 192.0.2.2:6000: the service is stopping"],
        )
        self.assertEqual(
            self.tell(LinkLost(facts, CloseReason.NOT_WANTED, "401 in a second")),
            [f"lost the link from {BOB} at 192.0.2.2:6000: the link is not wanted (401 in a second)"],
        )

    def test_after_stop_nothing_is_written(self) -> None:
        self.log.stop()
        self.assertEqual(self.tell(PeerJoined(BOB)), [])
