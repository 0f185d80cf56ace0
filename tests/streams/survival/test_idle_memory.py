"""What an idle stream costs because it survives its link."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path

from routing_crust.streams import streams_of, survival
from tests.streams.case import StreamsCase
from tests.streams.protocols import Keeping, Noting

STREAMS = 100
ALLOWED_BYTES = 64
"""The aim is 200; to keep the frames that have opened it would cost more than a hundred."""
PACKAGE = Path(survival.__file__).parent


def kept_for_survival() -> int:
    """Bytes that are allocated for sessions at present."""
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, str(PACKAGE / "*"))])
    return sum(each.size for each in traces.traces)


class IdleMemoryTests(StreamsCase):
    def test_idle_stream_keeps_little_for_survival(self) -> None:
        """What its session keeps, and the number of seconds that it may wait, at each of its ends."""
        one, two = self.two()
        streams_of(two).listen("idle", Keeping(Noting))
        opened = [self.open(one, two.node_name, "idle")]
        self.net.settle(10)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        opened += [self.open(one, two.node_name, "idle") for _ in range(STREAMS)]
        self.net.settle(10)
        ends = [
            stream
            for node in (one, two)
            for peer in streams_of(node)._peers
            for stream in peer.mux.streams.values()
        ]
        self.assertEqual(len(ends), 2 * (STREAMS + 1))
        seconds = max(sys.getsizeof(each.survival) for each in ends)
        self.assertLess(kept_for_survival() / STREAMS / 2 + seconds, ALLOWED_BYTES)
