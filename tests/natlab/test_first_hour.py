"""The way of the table is one that can be gone, with as few commands as the table says."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from ..daemon.children import SCRIPT
from .first_hour import ROOT, Hour, play
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
        scripts = folder / "environment" / "bin"
        scripts.mkdir(parents=True)
        script = scripts / "routing-crust"
        path = ":".join([str(ROOT), *sys.path])
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" -c "{SCRIPT[1]}" "$@"\n')
        script.chmod(0o755)
        hour = Hour("here", ())
        await deferToThread(play, hour, folder / "environment", folder)
        self.assertEqual([place for place, _ in hour.typed], ["desk", "desk", "desk", "laptop", "laptop"])
        (line,) = hour.carried
        self.assertTrue(line.startswith("rc1"))
        self.assertGreater(hour.seconds, 0)
