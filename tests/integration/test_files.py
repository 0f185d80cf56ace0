"""
C{send-file} and C{receive} as a user types them, with real daemons.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from routing_crust.limits import MIB
from tests.integration.processes import environment
from tests.integration.programs import Program
from tests.integration.test_daemons import asynchronous
from tests.integration.test_forwarding import TwoDaemonsCase

_CLI = "from routing_crust.daemon.cli import main; main()"
_LIMIT = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({8 * MIB}, {8 * MIB})); "
_NOBODY = "a" * 52


class FilesTests(TwoDaemonsCase):
    def receive(self, folder: Path, *options: str, before: str = "") -> Program:
        where = (f"--state-dir={self.server.state_dir}", f"--into={folder}")
        words = ("receive", *where, *options)
        return self.program(sys.executable, "-c", before + _CLI, *words, **environment())

    async def send(self, *words: str) -> tuple[str, str, int]:
        return await self.run_command("send-file", *words, f"--state-dir={self.client.state_dir}")

    def said(self, text: str | bytes, event: str) -> dict[str, Any]:
        """The line of JSON about this event."""
        whole = text if isinstance(text, str) else text.decode()
        lines = [json.loads(each) for each in whole.splitlines() if each.startswith("{")]
        (line,) = (each for each in lines if each["event"] == event)
        found: dict[str, Any] = line
        return found

    @asynchronous
    async def test_folder_arrives_after_a_disk_was_full(self) -> None:
        await self.two({})
        here, there = self.folder / "here", self.folder / "there"
        (there / "photos").mkdir(parents=True)
        here.mkdir()
        content = os.urandom(20 * MIB)
        (there / "photos" / "large").write_bytes(content)
        (there / "photos" / "zero").write_bytes(b"")
        _, err, status = await self.send(str(there / "photos"), "there.crust")
        self.assertEqual(status, 1)
        self.assertIn("there does not receive: run 'routing-crust receive' there", err)
        _, err, status = await self.run_command("receive", f"--state-dir={self.server.state_dir}")
        self.assertEqual(status, 1)
        self.assertIn("nobody can be asked here", err)
        stranger = self.receive(here, f"--accept-from={_NOBODY}")
        await stranger.says(b"waiting for files")
        _, err, status = await self.send(str(there / "photos"), "there")
        self.assertIn("there takes no files from this node", err)
        await stranger.end()
        limited = self.receive(here, "--yes", before=_LIMIT)
        await limited.says(b"waiting for files")
        _, err, status = await self.send(str(there / "photos"), "there")
        self.assertEqual((status, await limited.ended), (1, 1))
        for each in (err, limited.out.decode()):
            self.assertIn("photos/large: the file is larger than the system allows", each)
        self.assertNotIn("photos", os.listdir(here))
        full = self.receive(here, f"--accept-from={self.client.name}", "--json")
        await full.says(b"waiting")
        out, err, status = await self.send(str(there / "photos"), "there", "--json")
        self.assertEqual((status, await full.ended), (0, 0), err)
        sent, received = self.said(out, "sent"), self.said(full.out, "received")
        self.assertEqual(sent["sha256"], received["sha256"])
        self.assertEqual((sent["moved"], sent["bytes"]), (12 * MIB, 20 * MIB))
        self.assertEqual(received["sender"], self.client.name)
        self.assertEqual(
            hashlib.sha256((here / "photos" / "large").read_bytes()).digest(),
            hashlib.sha256(content).digest(),
        )
        self.assertEqual(os.listdir(here), ["photos"])
