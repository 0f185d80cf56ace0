"""All peers together have a bound on their streams; the one that holds most makes room."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import Name
from routing_crust.streams import StreamReason, StreamRefused, StreamReset, offers, streams_of
from routing_crust.timing.shares import who_makes_room

from .case import StreamsCase
from .protocols import Keeping
from .test_accepting import Hesitant

A, B, C, D = (Name(bytes([number]) * 32) for number in range(4))


class WhoMakesRoomTests(SynchronousTestCase):
    def test_largest_peer_makes_room(self) -> None:
        self.assertEqual(who_makes_room({A: 5, B: 7, C: 1}, {A: "a", B: "b", C: "c"}, C), B)

    def test_peer_that_holds_most_gets_no_more(self) -> None:
        self.assertIsNone(who_makes_room({A: 7, B: 5}, {A: "a", B: "b"}, A))

    def test_peers_that_hold_as_many_take_nothing_from_each_other(self) -> None:
        self.assertIsNone(who_makes_room({A: 5, B: 5}, {A: "a", B: "b"}, B))

    def test_names_of_one_prefix_count_together(self) -> None:
        prefixes = {A: "a", B: "a", C: "a", D: "d"}
        self.assertEqual(who_makes_room({A: 3, B: 4, C: 3, D: 5}, prefixes, D), B)
        self.assertIsNone(who_makes_room({A: 1, B: 3, C: 3, D: 5}, {**prefixes, D: "d"}, B))

    def test_neighbour_in_the_fullest_prefix_gets_room_from_the_largest_there(self) -> None:
        self.assertEqual(who_makes_room({A: 9, B: 1, C: 3}, {A: "a", B: "a", C: "c"}, B), A)


class BoundInAllTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(offers, "MAX_STREAMS_OF_PEERS", 4)
        self.server, self.greedy, self.modest = self.net.grow(3)
        self.served = Keeping()
        streams_of(self.server).listen("echo", self.served)
        self.mine = [self.open(self.greedy, self.server.node_name) for _ in range(4)]

    def counts(self) -> dict[str, Any]:
        opened: Any = streams_of(self.server).status()["open"]
        return dict(opened)

    def test_peer_with_fewer_streams_gets_one_of_the_peer_with_most(self) -> None:
        theirs = self.open(self.modest, self.server.node_name)
        self.net.settle(1)
        self.assertEqual(self.counts(), {str(self.greedy.node_name): 3, str(self.modest.node_name): 1})
        for reason in (self.mine[3].reason, self.served.made[3].reason):
            self.assertIsInstance(reason, StreamReset)
            self.assertIs(reason.reason, StreamReason.TOO_MANY)
            self.assertIn("all peers together may have", str(reason))
        self.assertIsNone(theirs.reason)
        self.assertEqual([each.reason for each in self.mine[:3]], [None] * 3)

    def test_peer_with_most_streams_is_refused_another(self) -> None:
        error = self.fails(
            streams_of(self.greedy).open(self.server.node_name, "echo", Keeping()), StreamRefused
        )
        self.assertIs(error.reason, StreamReason.TOO_MANY)
        self.assertIn("all peers together may have", str(error))
        self.assertEqual(self.counts(), {str(self.greedy.node_name): 4})

    def test_stream_that_ends_makes_room(self) -> None:
        for aborted in (False, True):
            ending = self.mine.pop().transport
            (ending.abortConnection if aborted else ending.loseConnection)()
            self.net.settle(1)
            self.mine.insert(0, self.open(self.greedy, self.server.node_name))
        self.assertEqual(self.counts(), {str(self.greedy.node_name): 4})

    def test_stream_that_waits_for_a_decision_makes_room_too(self) -> None:
        for each in self.mine:
            each.transport.loseConnection()
        self.net.settle(1)
        slow = Hesitant()
        streams_of(self.server).listen("slow", slow)
        waiting = [streams_of(self.greedy).open(self.server.node_name, "slow", Keeping()) for _ in range(4)]
        failed: list[Any] = []
        waiting[-1].addErrback(failed.append)
        self.net.settle(1)
        self.open(self.modest, self.server.node_name)
        self.net.run(lambda: failed)
        self.assertIs(failed[0].value.reason, StreamReason.TOO_MANY)
        for each in waiting[:3]:
            each.addErrback(lambda failure: None).cancel()
        self.net.settle(1)
