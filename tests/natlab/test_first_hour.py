"""The way of the table is one that can be gone, with as few commands as the table says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from .first_hour import Hour, of_this_checkout, play
from .lab import why_not
from .node import LabTestCase


class FirstHourTests(LabTestCase):
    async def test_page_of_one_machine_comes_to_the_other_in_five_commands(self) -> None:
        if reason := why_not(delay=True):
            raise SkipTest(reason)
        if shutil.which("curl") is None:
            raise SkipTest("curl is not installed")
        folder = Path(tempfile.mkdtemp(prefix="fh-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        hour = Hour("here", ())
        await deferToThread(play, hour, of_this_checkout(folder), folder)
        self.assertEqual([place for place, _ in hour.typed], ["desk", "desk", "desk", "laptop", "laptop"])
        (line,) = hour.carried
        # as short as a code of two words
        self.assertEqual(len(line), 18)
        self.assertGreater(hour.seconds, 0)
