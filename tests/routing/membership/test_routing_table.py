"""The routing table, against a model that searches all nodes each time."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings, change_settings
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.routing.membership.routing_table import DEEPEST_SOUGHT, PeerEntry, RoutingTable

ALL = (1 << 256) - 1


def name_of(number: int) -> Name:
    return Name((number & ALL).to_bytes(32, "big"))


OWN = name_of(0)


def in_bucket(index: int, low: int = 0) -> Name:
    """A name that shares just C{index} leading bits with C{OWN}; a greater C{low} is farther away."""
    return name_of((1 << (255 - index)) + low)


def public(third: int, last: int) -> Endpoint:
    return Endpoint(f"8.8.{third}.{last}", 5483)


def table_with(*names: Name, **changes: int) -> RoutingTable:
    table = RoutingTable(OWN, Settings(**changes))
    for each in names:
        assert table.add(PeerEntry(each)) == []
    return table


class MembershipTests(SynchronousTestCase):
    def test_entry_is_found_until_it_is_removed(self) -> None:
        """What was added is there, with what was kept with it, until it is removed."""
        link = object()
        entry = PeerEntry(in_bucket(3), None, link)
        table = RoutingTable(OWN, Settings())
        self.assertEqual(table.add(entry), [])
        self.assertIn(entry.name, table)
        self.assertIs(table.get(entry.name), entry)
        self.assertEqual(list(table), [entry])
        self.assertEqual(table.bucket_sizes(), [0, 0, 0, 1])
        self.assertIs(table.remove(entry.name), entry)
        self.assertIsNone(table.remove(entry.name))
        self.assertIsNone(table.get(entry.name))
        self.assertEqual((len(table), table.bucket_sizes()), (0, []))

    def test_own_name_is_not_in_the_table(self) -> None:
        table = RoutingTable(OWN, Settings())
        entry = PeerEntry(OWN)
        self.assertFalse(table.wants(OWN))
        self.assertEqual(table.add(entry), [entry])
        self.assertEqual(len(table), 0)

    def test_newer_entry_replaces_the_older_one(self) -> None:
        """No other node is dropped for it."""
        table = table_with(in_bucket(0))
        newer = PeerEntry(in_bucket(0), public(1, 1), "newer")
        self.assertFalse(table.wants(newer.name))
        self.assertIsNone(table.refusal(newer.name, newer.endpoint))
        self.assertEqual(table.add(newer), [])
        self.assertIs(table.get(newer.name), newer)
        self.assertEqual(len(table), 1)

    def test_bucket_has_room_for_twice_its_size(self) -> None:
        """A bucket is filled to its size, lets in as many again, and then no more."""
        table = table_with(*(in_bucket(9, low) for low in range(4)), group_size=2, bucket_size=2)
        far = [in_bucket(0, low) for low in range(5)]
        self.assertTrue(table.seeks(far[0]))
        for each in far[:2]:
            table.add(PeerEntry(each))
        self.assertFalse(table.seeks(far[2]))
        self.assertTrue(table.wants(far[2]))
        for each in far[2:4]:
            self.assertEqual(table.add(PeerEntry(each)), [])
        self.assertFalse(table.wants(far[4]))
        self.assertFalse(table.seeks(far[4]))
        self.assertIn("bucket_size", table.refusal(far[4]) or "")
        entry = PeerEntry(far[4])
        self.assertEqual(table.add(entry), [entry])
        self.assertNotIn(far[4], table)

    def test_near_node_pushes_the_farthest_out_of_a_full_bucket(self) -> None:
        """A node of the close group comes into a full bucket; its farthest other member goes."""
        table = table_with(*(in_bucket(7, 10 * low) for low in (1, 2, 3, 4)), group_size=2, bucket_size=2)
        near = in_bucket(7, 5)
        self.assertTrue(table.seeks(near))
        dropped = table.add(PeerEntry(near))
        self.assertEqual([each.name for each in dropped], [in_bucket(7, 40)])
        self.assertEqual(table.close_group(), (near, in_bucket(7, 10)))
        self.assertEqual(len(table), 4)
        self.assertEqual(table.add(PeerEntry(in_bucket(7, 15))), [PeerEntry(in_bucket(7, 15))])

    def test_close_group_may_exceed_the_size_of_a_bucket(self) -> None:
        """No member of the group is dropped, even if the group is larger than a bucket."""
        table = table_with(*(in_bucket(7, low) for low in range(6)), group_size=6, bucket_size=1)
        self.assertEqual(len(table), 6)
        self.assertFalse(table.wants(in_bucket(7, 6)))

    def test_node_that_falls_out_of_the_group_may_lose_its_place(self) -> None:
        """Who had a place in a full bucket only by being near loses it to one who is nearer."""
        table = table_with(*(in_bucket(7, low) for low in range(6)), group_size=6, bucket_size=1)
        self.assertEqual([each.name for each in table.add(PeerEntry(in_bucket(9)))], [in_bucket(7, 5)])
        self.assertEqual(table.close_group()[0], in_bucket(9))

    def test_prefix_limit_holds_in_each_bucket(self) -> None:
        """Two of one /24 in a bucket, near us or not; those whose address is not known do not count."""
        table = table_with(in_bucket(0, 9))
        for low in range(2):
            self.assertEqual(table.add(PeerEntry(in_bucket(0, low), public(1, low))), [])
        self.assertFalse(table.wants(in_bucket(0, 2), public(1, 3)))
        self.assertIn("max_same_prefix_in_bucket", table.refusal(in_bucket(0, 2), public(1, 3)) or "")
        self.assertTrue(table.wants(in_bucket(0, 2), public(2, 3)))
        self.assertTrue(table.wants(in_bucket(1), public(1, 3)))
        self.assertTrue(table.wants(in_bucket(0, 2)))
        self.assertIsNone(table.refusal(in_bucket(0, 1), public(1, 77)))

    def test_prefix_limits_of_the_settings_count_as_they_are_now(self) -> None:
        settings = Settings()
        table = RoutingTable(OWN, settings)
        for low in range(2):
            table.add(PeerEntry(in_bucket(0, low), public(1, low)))
        self.assertFalse(table.wants(in_bucket(0, 2), public(1, 3)))
        change_settings(settings, Settings(max_same_prefix_in_bucket=3))
        self.assertTrue(table.wants(in_bucket(0, 2), public(1, 3)))
        change_settings(settings, Settings(max_same_prefix_in_table=1))
        self.assertFalse(table.wants(in_bucket(5), public(1, 3)))

    def test_prefix_limit_holds_in_the_whole_table(self) -> None:
        """Ten of one /24 in the table; one that leaves makes room."""
        table = RoutingTable(OWN, Settings())
        for index in range(10):
            self.assertEqual(table.add(PeerEntry(in_bucket(index), public(1, index))), [])
        self.assertIn("max_same_prefix_in_table", table.refusal(in_bucket(10), public(1, 10)) or "")
        table.remove(in_bucket(4))
        self.assertTrue(table.wants(in_bucket(10), public(1, 10)))

    def test_member_that_is_in_by_a_tunnel_is_not_refused_for_its_prefix(self) -> None:
        """
        A direct link may replace the tunnel, and another one that: the node goes on counting for the relay's
        prefix, so that a relay brings in no more nodes than its prefix may have.
        """
        for relay in (public(9, 1), Endpoint("10.0.0.1", 5483)):
            table = RoutingTable(OWN, Settings(max_same_prefix_in_bucket=1, max_same_prefix_in_table=2))
            table.add(PeerEntry(in_bucket(0, 1), public(1, 1)))
            for low in (2, 3):
                name = in_bucket(0, low)
                self.assertIsNotNone(table.refusal(name, public(1, low)))
                table.add(PeerEntry(name, via=relay))
                for port in (1, 2):
                    self.assertIsNone(table.refusal(name, public(1, low)))
                    self.assertEqual(table.add(PeerEntry(name, public(1, low), port)), [])
            full = table.refusal(in_bucket(1), via=relay)
            self.assertEqual(full is not None, relay == public(9, 1), "a private address does not count")
            self.assertIsNotNone(table.refusal(in_bucket(0, 4), public(1, 4)))
            self.assertEqual(len(table), 3)
            for low in (1, 2, 3):
                table.remove(in_bucket(0, low))
            self.assertIsNotNone(table.add(PeerEntry(in_bucket(0, 5), public(1, 5))))
            moved = PeerEntry(in_bucket(0, 2), public(1, 2))
            self.assertEqual(table.add(moved), [moved], "once it is gone it has no place any more")

    def test_member_that_is_in_by_a_tunnel_counts_for_its_own_prefix_where_there_is_room(self) -> None:
        table = RoutingTable(OWN, Settings(max_same_prefix_in_bucket=1, max_same_prefix_in_table=1))
        table.add(PeerEntry(in_bucket(0, 1), via=public(9, 1)))
        table.add(PeerEntry(in_bucket(0, 1), public(1, 1)))
        self.assertIsNone(table.refusal(in_bucket(0, 2), via=public(9, 1)))
        self.assertIsNotNone(table.refusal(in_bucket(0, 2), public(1, 2)))

    def test_member_that_moves_into_a_full_prefix_is_dropped(self) -> None:
        """It is not let in again, and what was kept of it goes."""
        table = RoutingTable(OWN, Settings(max_same_prefix_in_bucket=1))
        table.add(PeerEntry(in_bucket(0, 1), public(1, 1)))
        table.add(PeerEntry(in_bucket(0, 2), public(2, 1)))
        moved = PeerEntry(in_bucket(0, 2), public(1, 2))
        self.assertEqual(table.add(moved), [moved])
        self.assertEqual([each.name for each in table], [in_bucket(0, 1)])
        self.assertTrue(table.wants(in_bucket(0, 3), public(2, 1)))

    def test_private_addresses_have_no_prefix_limit(self) -> None:
        table = RoutingTable(OWN, Settings())
        for low in range(8):
            table.add(PeerEntry(in_bucket(0, low), Endpoint("127.0.0.1", 2000 + low)))
            table.add(PeerEntry(in_bucket(1, low), Endpoint("10.0.0.1", 2000 + low)))
        self.assertEqual(len(table), 16)


class NearnessTests(SynchronousTestCase):
    def test_empty_table_answers_every_question(self) -> None:
        table = RoutingTable(OWN, Settings())
        self.assertEqual(table.nearest(in_bucket(0), 8), [])
        self.assertIsNone(table.next_hop(in_bucket(0)))
        self.assertIsNone(table.next_hop(OWN))
        self.assertTrue(table.is_close_to(in_bucket(0)))
        self.assertEqual(table.close_group(), ())
        self.assertEqual(table.missing_buckets(Random(1)), [])

    def test_member_is_its_own_next_hop_unless_excluded(self) -> None:
        table = table_with(in_bucket(0), in_bucket(0, 1))
        hop = table.next_hop(in_bucket(0))
        self.assertEqual(hop and hop.name, in_bucket(0))
        hop = table.next_hop(in_bucket(0), {in_bucket(0)})
        self.assertEqual(hop and hop.name, in_bucket(0, 1))

    def test_every_bucket_with_room_is_sought(self) -> None:
        """Every bucket in use that could hold more is looked for, with a name in it, down to a limit."""
        table = table_with(
            *(in_bucket(0, low) for low in range(2)),
            in_bucket(3),
            in_bucket(5),
            in_bucket(200),
            group_size=2,
            bucket_size=2,
        )
        targets = table.missing_buckets(Random(1))
        found = sorted(OWN.common_prefix(each) for each in targets)
        self.assertEqual(found, list(range(1, DEEPEST_SOUGHT)))
        self.assertEqual(targets, table.missing_buckets(Random(1)))
        self.assertNotEqual(targets, table.missing_buckets(Random(2)))
        orders = {
            tuple(OWN.common_prefix(each) for each in table.missing_buckets(Random(n))) for n in range(9)
        }
        self.assertGreater(len(orders), 1)

    def test_buckets_below_the_deepest_in_use_are_not_sought(self) -> None:
        table = table_with(in_bucket(0), in_bucket(2), group_size=1, bucket_size=2)
        found = sorted(OWN.common_prefix(each) for each in table.missing_buckets(Random(1)))
        self.assertEqual(found, [0, 1, 2])


# Names that are crowded near OWN and near each other, so that all depths are met.
NAMES = st.builds(
    lambda index, low: name_of((1 << (255 - index) | (low << 200)) & ALL if index < 40 else low + 1),
    st.integers(0, 45),
    st.integers(0, 2**20),
)


FEW_BUCKETS = st.builds(in_bucket, st.integers(0, 4), st.integers(0, 30))


class Model:
    """The same answers, found by a search of all nodes."""

    def __init__(self, table: RoutingTable) -> None:
        self.names = [each.name for each in table]

    def nearest(self, target: Name, count: int, exclude: frozenset[Name] = frozenset()) -> list[Name]:
        candidates = [each for each in self.names if each not in exclude]
        return sorted(candidates, key=target.distance)[:count]

    def next_hop(self, target: Name, exclude: frozenset[Name]) -> Name | None:
        first = self.nearest(target, 1, exclude)
        return first[0] if first and target.distance(first[0]) < target.distance(OWN) else None

    def is_close_to(self, target: Name, group_size: int) -> bool:
        return OWN in sorted([*self.names, OWN], key=target.distance)[:group_size]


class ModelTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(NAMES, max_size=60),
        st.lists(NAMES, min_size=1, max_size=6),
        st.integers(1, 9),
        st.sets(st.integers(0, 59), max_size=9),
    )
    def test_answers_match_the_model(
        self, names: list[Name], targets: list[Name], count: int, excluded: set[int]
    ) -> None:
        """Every question has the answer that the model gives."""
        table = RoutingTable(OWN, Settings(group_size=count, bucket_size=3))
        for each in names:
            table.add(PeerEntry(each))
        model = Model(table)
        exclude = frozenset(names[each] for each in excluded if each < len(names))
        for target in (*targets, *names[:5], OWN):
            for without in (frozenset[Name](), exclude):
                got = [each.name for each in table.nearest(target, count, without)]
                self.assertEqual(got, model.nearest(target, count, without))
                hop = table.next_hop(target, without)
                self.assertEqual(hop and hop.name, model.next_hop(target, without))
            self.assertEqual(table.next_hop(target), table.next_hop(target, set()))
            self.assertEqual(table.is_close_to(target), model.is_close_to(target, count))
        self.assertEqual(table.close_group(), tuple(model.nearest(OWN, count)))

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(
                FEW_BUCKETS,
                st.sampled_from([None, None, None, 1, 2, 3]),
                st.sampled_from([False, False, False, True]),
            ),
            max_size=80,
        ),
        st.integers(1, 6),
        st.integers(1, 3),
    )
    def test_table_keeps_its_limits_whatever_comes(
        self, steps: list[tuple[Name, int | None, bool]], group_size: int, bucket_size: int
    ) -> None:
        """In any order of additions and removals, no node near us is refused or dropped."""
        table = RoutingTable(OWN, Settings(group_size=group_size, bucket_size=bucket_size))
        there: dict[Name, PeerEntry] = {}
        for name, prefix, leaves in steps:
            if leaves:
                self.assertEqual(table.remove(name), there.pop(name, None))
                continue
            entry = PeerEntry(name, None if prefix is None else public(prefix, 1))
            refusal = table.refusal(name, entry.endpoint)
            near = Model(table).nearest(OWN, group_size)
            dropped = table.add(entry)
            there.pop(name, None)
            if refusal is None:
                there[name] = entry
                for each in dropped:
                    self.assertIs(there.pop(each.name), each)
                    fell_out = (name, near[-1]) if near else (name,)
                    self.assertIn(OWN.common_prefix(each.name), [OWN.common_prefix(one) for one in fell_out])
                    self.assertNotIn(each.name, table.close_group())
            else:
                self.assertEqual(dropped, [entry])
                if "bucket_size" in refusal:
                    self.assertEqual(len(near), group_size)
                    self.assertGreater(OWN.distance(name), OWN.distance(near[-1]))
            self.assertEqual({each.name: each for each in table}, there)
            self.check_limits(table)

    def check_limits(self, table: RoutingTable) -> None:
        group = table.close_group()
        limit = 2 * table._bucket_size
        for index, size in enumerate(table.bucket_sizes()):
            members = [each for each in table if OWN.common_prefix(each.name) == index]
            self.assertEqual(len(members), size)
            if size > limit:
                self.assertLessEqual({each.name for each in members}, set(group))
            prefixes = [each.endpoint.prefix for each in members if each.endpoint]
            self.assertTrue(all(prefixes.count(each) <= 2 for each in prefixes))
        held = [each.endpoint.prefix for each in table if each.endpoint]
        self.assertTrue(all(held.count(each) <= 10 for each in held))
        self.assertEqual(table._of_prefix, {each: held.count(each) for each in held})
