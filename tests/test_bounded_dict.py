"""
Tests for L{routing_crust.bounded_dict}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.bounded_dict import BoundedDict


class BoundedDictTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries: BoundedDict[str, int] = BoundedDict(3)
        for number, key in enumerate("abc"):
            self.entries[key] = number

    def test_new_entry_pushes_out_the_oldest(self) -> None:
        self.entries["d"] = 3
        self.assertEqual(self.entries, {"b": 1, "c": 2, "d": 3})

    def test_entry_that_is_set_again_keeps_its_age(self) -> None:
        self.entries["a"] = 9
        self.assertEqual(self.entries, {"a": 9, "b": 1, "c": 2})
        self.entries["d"] = 3
        self.assertNotIn("a", self.entries)

    def test_entry_that_is_put_again_becomes_the_newest(self) -> None:
        self.entries.put("a", 9)
        self.assertEqual(list(self.entries.items()), [("b", 1), ("c", 2), ("a", 9)])
        self.entries.put("d", 3)
        self.assertEqual(list(self.entries), ["c", "a", "d"])

    def test_removed_entry_leaves_room(self) -> None:
        del self.entries["a"]
        self.entries["d"] = 3
        self.assertEqual(list(self.entries), ["b", "c", "d"])
