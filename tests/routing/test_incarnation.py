"""Incarnations grow, whatever the clock and the disk do."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.incarnation import next_incarnation


class IncarnationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.events: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def test_incarnation_is_the_time_in_milliseconds(self) -> None:
        self.assertEqual(next_incarnation(None, 0, 12.5), 12500)

    def test_incarnation_grows_within_one_millisecond(self) -> None:
        self.assertEqual(next_incarnation(None, 12500, 12.5), 12501)

    def test_incarnation_grows_when_the_clock_goes_back(self) -> None:
        """The last one is in the state directory."""
        self.assertEqual(next_incarnation(self.folder, 0, 5000.0), 5000000)
        self.assertEqual(next_incarnation(self.folder, 0, 1400.0), 5000001)
        self.assertEqual(next_incarnation(self.folder, 0, 1400.0), 5000002)

    def test_damaged_file_counts_for_nothing(self) -> None:
        """What is no number, or no sensible one, counts for nothing."""
        for damage in (b"", b"\xff\x00", b"-5", b"9" * 30):
            (self.folder / "incarnation").write_bytes(damage)
            self.assertEqual(next_incarnation(self.folder, 0, 1.0), 1000)

    def test_pipe_in_the_place_of_the_file_blocks_no_start(self) -> None:
        os.mkfifo(self.folder / "incarnation")
        self.assertEqual(next_incarnation(self.folder, 0, 1.0), 1000)
        self.assertEqual(next_incarnation(self.folder, 0, 0.5), 1001)

    def test_full_disk_is_logged_and_the_node_starts(self) -> None:
        full = OSError(28, "No space left on device")
        with mock.patch("routing_crust.routing.incarnation.write_atomically", side_effect=full):
            self.assertEqual(next_incarnation(self.folder, 0, 2.0), 2000)
        said = [event for event in self.events if "cannot write" in str(event.get("log_format"))]
        self.assertEqual([event["problem"] for event in said], ["No space left on device"])
