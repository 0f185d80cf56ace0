"""Splitting, and putting together again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, MIB, Settings
from routing_crust.names import Name
from routing_crust.routing.messaging import fragmentation
from routing_crust.routing.messaging.fragmentation import MESSAGE_OVERHEAD_BYTES, Reassembler, split
from routing_crust.wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart


def name_of(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


A, B = name_of(1), name_of(2)


def part(
    index: int, parts: int, body: bytes, id: int = 1, flavour: Flavour = Flavour.SEND, group: bytes = b""
) -> MessagePart:
    return MessagePart(id, index, parts, flavour, group, body)


def parts_of(body: bytes, size: int, id: int = 1) -> list[MessagePart]:
    bodies = split(body, size)
    return [part(index, len(bodies), each, id) for index, each in enumerate(bodies)]


def pattern(length: int) -> bytes:
    return bytes(each % 251 for each in range(length))


class SplitTests(SynchronousTestCase):
    def test_all_parts_but_the_last_are_full(self) -> None:
        self.assertEqual(split(b"", 4), [b""])
        self.assertEqual(split(b"abcd", 4), [b"abcd"])
        self.assertEqual(split(b"abcdefghi", 4), [b"abcd", b"efgh", b"i"])

    @given(st.binary(max_size=200), st.integers(1, 50))
    def test_parts_joined_are_the_body(self, body: bytes, size: int) -> None:
        parts = split(body, size)
        self.assertEqual(b"".join(parts), body)
        self.assertTrue(all(len(each) == size for each in parts[:-1]))
        self.assertLessEqual(len(parts[-1]), size)


class ReassemblerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self, **changes: int) -> None:
        self.reassembler = Reassembler(self.clock, Settings(**changes))

    def assert_empty(self) -> None:
        """Nothing is held and nothing is counted."""
        held = self.reassembler
        self.assertEqual((len(held), held.held, held._held_by, held._of_source), (0, 0, {}, {}))

    def assert_refused(self, *parts: MessagePart | AckPart) -> None:
        """The last of these parts is refused; it leaves the others as they were."""
        for each in parts[:-1]:
            self.assertIsNone(self.reassembler.add(A, each))
        before = (self.reassembler.refused, self.reassembler.held)
        self.assertIsNone(self.reassembler.add(A, parts[-1]))
        self.assertEqual((self.reassembler.refused - 1, self.reassembler.held), before)

    def test_message_of_one_part_is_complete_at_once(self) -> None:
        self.assertEqual(self.reassembler.add(A, part(0, 1, b"body")), b"body")
        self.assertEqual(self.reassembler.add(A, part(0, 1, b"")), b"")
        self.assert_empty()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_parts_may_come_in_any_order(self) -> None:
        """The parts may come in any order, and repeatedly."""
        body = pattern(5 * KIB + 7)
        first, *others = parts_of(body, KIB)
        for each in (*reversed(others), *others):
            self.assertIsNone(self.reassembler.add(A, each))
        self.assertEqual(self.reassembler.add(A, first), body)
        self.assert_empty()
        self.assertEqual(self.reassembler.refused, 0)

    def test_messages_of_other_sources_and_ids_do_not_mix(self) -> None:
        """Messages of several sources and ids, and acknowledgements, do not mix."""
        body = pattern(2 * KIB)
        last = body[KIB:]
        for source in (A, B):
            for number in (1, 2):
                self.assertIsNone(self.reassembler.add(source, part(0, 2, body[:KIB], number)))
        ack = [
            AckPart(1, index, 2, AckStatus.ANSWERED, each)
            for index, each in enumerate(split(bytes(2 * KIB), KIB))
        ]
        self.assertIsNone(self.reassembler.add(A, ack[0]))
        self.assertEqual(self.reassembler.add(A, ack[1]), bytes(2 * KIB))
        for source in (A, B):
            for number in (1, 2):
                self.assertEqual(self.reassembler.add(source, part(1, 2, last, number)), body)
        self.assert_empty()

    def test_impossible_parts_are_refused(self) -> None:
        self.assert_refused(part(1, 1, b"index out of range"))
        self.assert_refused(part(2, 2, bytes(KIB)))
        self.assert_refused(part(0, 2, bytes(KIB - 1)))
        self.assert_refused(part(1, 2, b""))
        self.assert_refused(part(0, 1, bytes(MIB + 1)))
        self.assert_refused(part(0, 65536, bytes(KIB)))
        self.assert_refused(part(65535, 65536, bytes(KIB)))
        self.assert_refused(part(1, 2, bytes(MIB // 2 + 1)))
        self.assert_empty()

    def test_parts_that_contradict_earlier_ones_are_refused(self) -> None:
        """Parts that contradict those that are there already are refused, and the message stays whole."""
        body = pattern(3 * KIB + 5)
        parts = parts_of(body, KIB)
        self.assert_refused(parts[0], part(1, 5, bytes(KIB)))
        self.assert_refused(part(1, 4, bytes(KIB + 1)))
        self.assert_refused(part(3, 4, bytes(KIB + 1)))
        self.assert_refused(part(1, 4, bytes(KIB), flavour=Flavour.REQUEST))
        self.assert_refused(part(1, 4, bytes(KIB), group=bytes(32)))
        self.assert_refused(part(0, 1, b"a whole message"))
        self.assertIsNone(self.reassembler.add(A, parts[3]))
        self.assert_refused(part(3, 4, b"another"))
        self.assertIsNone(self.reassembler.add(A, parts[1]))
        self.assertEqual(self.reassembler.add(A, parts[2]), body)
        self.assert_empty()

    def test_part_smaller_than_the_last_is_refused(self) -> None:
        self.assert_refused(part(1, 2, bytes(2 * KIB)), part(0, 2, bytes(KIB)))

    def test_parts_of_an_acknowledgement_have_one_status(self) -> None:
        first = AckPart(1, 0, 2, AckStatus.ANSWERED, bytes(KIB))
        self.assert_refused(first, AckPart(1, 1, 2, AckStatus.REFUSED, bytes(KIB)))

    def test_largest_message_is_put_together(self) -> None:
        """The largest message there may be can be put together, and nothing larger."""
        self.patch(fragmentation, "MAX_REASSEMBLY_BYTES", MIB)
        self.make(max_message=MIB)
        body = pattern(MIB - KIB + 1)
        for each in parts_of(body, KIB)[:-1]:
            self.assertIsNone(self.reassembler.add(A, each))
        self.assertEqual(self.reassembler.dropped, 0)
        self.assertEqual(self.reassembler.add(A, parts_of(body, KIB)[-1]), body)
        body = pattern(MIB)
        *parts, last = parts_of(body, 20 * KIB)
        for each in parts:
            self.assertIsNone(self.reassembler.add(A, each))
        self.assert_refused(part(last.part, last.parts, last.body + b"!"))
        self.assertEqual(self.reassembler.add(A, last), body)

    def test_incomplete_message_is_given_up_in_time(self) -> None:
        self.reassembler.add(A, part(0, 2, bytes(KIB)))
        self.clock.advance(20 * 8 - 1)
        self.assertEqual((len(self.reassembler), self.reassembler.held), (1, MESSAGE_OVERHEAD_BYTES + KIB))
        self.clock.advance(1)
        self.assert_empty()
        self.assertEqual((self.reassembler.dropped, self.clock.getDelayedCalls()), (1, []))

    def test_source_over_its_share_loses_its_youngest_messages(self) -> None:
        """Over its share, the youngest messages of a source yield; those before them can be completed."""
        self.make()
        size = 512 * KIB
        for number in range(12):
            self.reassembler.add(A, part(0, 2, bytes(size), number))
        self.assertLessEqual(self.reassembler.held, 4 * MIB)
        self.assertEqual((len(self.reassembler), self.reassembler.dropped), (7, 5))
        for number in range(7):
            done = self.reassembler.add(A, part(1, 2, bytes(size), number))
            self.assertEqual(done, bytes(2 * size))
        self.assert_empty()

    def test_another_source_has_its_own_share(self) -> None:
        """A source that fills its share takes nothing from another."""
        self.make()
        self.reassembler.add(B, part(0, 2, bytes(512 * KIB)))
        for number in range(100):
            self.reassembler.add(A, part(0, 2, bytes(512 * KIB), number))
        self.assertEqual(self.reassembler.add(B, part(1, 2, b"!")), bytes(512 * KIB) + b"!")

    def test_link_with_most_yields_when_all_memory_is_taken(self) -> None:
        """Parts of free keys that come by one link starve no message that comes by another."""
        self.patch(fragmentation, "MAX_REASSEMBLY_BYTES", 4 * MIB)
        self.make(max_message=MIB)
        honest, flood = ("a", str(A)), ("b", str(B))
        body = bytes(1000 * KIB)
        parts = parts_of(body, 20 * KIB)
        for number, each in enumerate(parts[:-1]):
            self.assertIsNone(self.reassembler.add(A, each, honest))
            for free in range(3):
                self.reassembler.add(name_of(1000 + 3 * number + free), part(0, 2, bytes(40 * KIB)), flood)
            self.assertLessEqual(self.reassembler.held, 4 * MIB)
        self.assertGreater(self.reassembler.dropped, 10)
        self.assertEqual(self.reassembler.add(A, parts[-1], honest), body)

    def test_message_that_goes_on_is_spared_among_those_of_one_link(self) -> None:
        """Behind a relay, an honest sender shares its link with free keys whose messages never go on."""
        self.patch(fragmentation, "MAX_REASSEMBLY_BYTES", 4 * MIB)
        self.make(max_message=MIB)
        relay = ("a", str(B))
        body = bytes(1000 * KIB)
        parts = parts_of(body, 20 * KIB)
        for number, each in enumerate(parts[:-1]):
            self.assertIsNone(self.reassembler.add(A, each, relay))
            for free in range(5):
                self.reassembler.add(name_of(1000 + 5 * number + free), part(0, 2, bytes(40 * KIB)), relay)
        self.assertGreater(self.reassembler.dropped, 10)
        self.assertEqual(self.reassembler.add(A, parts[-1], relay), body)

    def test_forget_gives_up_what_one_source_began(self) -> None:
        for source in (A, B):
            self.reassembler.add(source, part(0, 2, bytes(KIB)))
        self.reassembler.forget(A)
        self.reassembler.forget(name_of(9))
        self.assertEqual(len(self.reassembler), 1)
        self.assertEqual(self.reassembler.add(B, part(1, 2, b"!")), bytes(KIB) + b"!")
        self.assert_empty()

    def test_stop_leaves_nothing_and_no_timer(self) -> None:
        self.reassembler.add(A, part(0, 2, bytes(KIB)))
        self.reassembler.stop()
        self.reassembler.stop()
        self.assert_empty()
        self.assertEqual(self.clock.getDelayedCalls(), [])


PARTS = st.builds(
    part,
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from([0, 1, KIB, KIB + 1, 3 * KIB, 400 * KIB]).map(bytes),
    st.integers(0, 3),
)


class AnythingTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), PARTS, st.integers(0, 30)), max_size=80))
    def test_counts_hold_whatever_parts_come(self, steps: list[tuple[int, MessagePart, int]]) -> None:
        """Whatever comes, the counts are right and within bounds; in the end nothing is left."""
        clock = Clock()
        self.patch(fragmentation, "MAX_REASSEMBLY_BYTES", 2 * MIB)
        limits = Settings(max_message=MIB)
        reassembler = Reassembler(clock, limits)
        for source, each, pause in steps:
            body = reassembler.add(name_of(source), each)
            if body is not None:
                self.assertLessEqual(len(body), MIB)
            held = sum(
                MESSAGE_OVERHEAD_BYTES + sum(map(len, partial.bodies.values()))
                for partial in reassembler._partials.values()
            )
            self.assertEqual(reassembler.held, held)
            self.assertEqual(sum(reassembler._held_by.values()), held)
            self.assertLessEqual(held, 2 * MIB)
            clock.advance(pause)
        clock.pump([20] * 16)
        self.assertEqual((len(reassembler), reassembler.held, clock.getDelayedCalls()), (0, 0, []))

    @given(st.data())
    def test_interleaved_messages_come_out_whole(self, data: st.DataObject) -> None:
        """Messages whose parts come mixed, in any order and repeatedly, all come out whole."""
        bodies = {
            number: pattern(data.draw(st.integers(1, 6 * KIB))) + bytes([number]) for number in range(3)
        }
        pieces = [each for number, body in bodies.items() for each in parts_of(body, KIB, number)]
        order = data.draw(st.permutations(pieces))
        reassembler = Reassembler(Clock(), Settings())
        out = {}
        for each in order:
            body = reassembler.add(A, each)
            if body is not None:
                out[each.id] = body
            elif data.draw(st.booleans()):
                self.assertIsNone(reassembler.add(A, each))
        self.assertEqual(out, bodies)
        self.assertEqual(len(reassembler), 0)
