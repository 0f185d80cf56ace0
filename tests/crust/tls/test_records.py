"""Records are counted by their headers, however the stream was split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.tls.records import RecordCounter


def record(size: int, head: bytes = b"\x17\x03\x03") -> bytes:
    """A record of this many bytes."""
    return head + size.to_bytes(2, "big") + bytes(size)


class RecordCounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counter = RecordCounter()

    def test_whole_records_are_counted(self) -> None:
        self.assertEqual(self.counter.ending_in(record(30) + record(16640) + record(0)), 3)
        self.assertEqual(self.counter.ending_in(b""), 0)
        self.assertEqual(self.counter.ending_in(record(1)), 1)

    def test_record_counts_where_it_ends(self) -> None:
        whole = record(300)
        self.assertEqual(self.counter.ending_in(whole[:5]), 0)
        self.assertEqual(self.counter.ending_in(memoryview(whole)[5:304]), 0)
        self.assertEqual(self.counter.ending_in(whole[304:] + whole[:3]), 1)
        self.assertEqual(self.counter.ending_in(whole[3:]), 1)

    def test_header_in_single_bytes_is_put_together(self) -> None:
        counts = [self.counter.ending_in(bytes([each])) for each in record(2) + record(0)]
        self.assertEqual(counts, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])

    def test_header_that_cannot_be_is_to_be_looked_at_before_its_record_ends(self) -> None:
        for head in (b"GET /", record(16641)[:5], b"\x17\x03\x01\x00\x10", b"\x15\x03\x03\x00\x10"):
            self.assertEqual(RecordCounter().ending_in(record(9) + head), 2, head)

    @given(st.lists(st.integers(0, 600), max_size=12), st.lists(st.integers(0, 900), max_size=40))
    def test_count_does_not_depend_on_splits(self, sizes: list[int], cuts: list[int]) -> None:
        """Of all that has come so far, as many records were counted as are whole."""
        stream = b"".join(map(record, sizes))
        ends = [sum(5 + each for each in sizes[: last + 1]) for last in range(len(sizes))]
        counter, counted, at = RecordCounter(), 0, 0
        for cut in [*cuts, len(stream)]:
            counted += counter.ending_in(memoryview(stream)[at : at + cut])
            at = min(len(stream), at + cut)
            self.assertEqual(counted, sum(end <= at for end in ends))
