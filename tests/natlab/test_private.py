"""
A private network from nothing, by the commands that people type: C{init}, C{invite}, C{join}, C{expose} and
C{forward}, on machines that know nothing of each other but the line of an invitation.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.utils import getProcessOutputAndValue

from ..daemon.children import SCRIPT, TWISTD, Child
from .lab import Lab
from .node import PORT, LabTestCase, environment
from .router import Nat, Router

reactor: Any = _reactor
SIZE: Final = 200_000
SERVED: Final = 8080
_HOST: Final = 'mount --bind "$0" /var/lib && cd "$0" && exec "$@"'
"""Each machine has a /var/lib of its own, so that nobody has to say where anything is."""


class PrivateTests(LabTestCase):
    """Each command is typed as the one before has said."""

    def setUp(self) -> None:
        self.folders: dict[str, Path] = {}

    def place(self, lab: Lab, host: str) -> list[str]:
        """What comes before a command at a machine."""
        if host not in self.folders:
            self.folders[host] = folder = Path(tempfile.mkdtemp(prefix="natlab-"))
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return ["netns", "exec", lab.namespace(host).name, "sh", "-c", _HOST, str(self.folders[host])]

    async def type(self, lab: Lab, host: str, command: str) -> str:
        """Type a command of the console script, and wait for its end: what it prints."""
        words = command.split()
        self.assertEqual(words[0], "routing-crust")
        place = [*self.place(lab, host), sys.executable, *SCRIPT, *words[1:]]
        out, err, code = await getProcessOutputAndValue("ip", place, env=environment())
        self.assertEqual(code, 0, f"{command}: {err.decode()}")
        return str(out.decode().strip())

    def leave_running(self, lab: Lab, host: str, command: str) -> Child:
        """Type a command that goes on: the daemon, or one of the console script."""
        program, *words = command.split()
        start = TWISTD if program == "twistd" else SCRIPT
        return self.start_child(
            Child(),
            "ip",
            *self.place(lab, host),
            sys.executable,
            *start,
            *words,
            env=environment(),
            childFDs={0: "w", 1: "r", 2: 1},
        )

    async def expose_and_get(self, lab: Lab) -> None:
        """A page on the founder's machine is to be had on the laptop, by the founder's nickname."""
        content = Random(1).randbytes(SIZE)
        await self.serve(lab, "desk", "page", content, SERVED)
        exposing = self.leave_running(
            lab, "desk", "routing-crust expose web=tcp:127.0.0.1:8080 --allow laptop"
        )
        await exposing.wait_for("^exposing ")
        forwarding = self.leave_running(lab, "laptop", "routing-crust forward tcp:8081=desk/web")
        await forwarding.wait_for("^forwarding ")
        got = await self.get(lab, "laptop", "http://127.0.0.1:8081/page")
        self.assertEqual(sha256(got).digest(), sha256(content).digest())

    async def test_founder_and_laptop_behind_nats_with_one_public_member(self) -> None:
        lab = self.build(
            {
                "desk": Router(Nat.PORT_RESTRICTED),
                "laptop": Router(Nat.PORT_RESTRICTED),
                "server": None,
            },
            delay=0.010,
        )
        founded = await self.type(lab, "desk", "routing-crust init home --nickname desk")
        self.assertTrue(founded.endswith("routing-crust invite NICKNAME"), founded)
        desk = self.leave_running(lab, "desk", "twistd -n routing-node")
        await desk.wait_for(" contact: ")
        # nobody can dial the desk, so it is told where the server is
        at = f"{lab.public('server')}:{PORT}"
        join = await self.type(lab, "desk", f"routing-crust invite server --at {at}")
        joined = await self.type(lab, "server", join)
        self.assertRegex(
            joined.splitlines()[-1], r"^you are server in home; \d+ members? (is|are) reachable$"
        )
        server = self.leave_running(lab, "server", "twistd -n routing-node")
        await server.wait_for("connected ")
        # the second machine reaches the founder through the server
        join = await self.type(lab, "desk", "routing-crust invite laptop")
        joined = await self.type(lab, "laptop", join)
        self.assertRegex(
            joined.splitlines()[-1], r"^you are laptop in home; \d+ members? (is|are) reachable$"
        )
        laptop = self.leave_running(lab, "laptop", "twistd -n routing-node")
        await laptop.wait_for("connected ")
        await self.expose_and_get(lab)

    async def test_one_local_network_needs_no_public_member(self) -> None:
        router = Router(Nat.PORT_RESTRICTED)
        lab = self.build({"desk": router, "laptop": router}, delay=0.010)
        await self.type(lab, "desk", "routing-crust init home --nickname desk")
        desk = self.leave_running(lab, "desk", "twistd -n routing-node")
        await desk.wait_for(" contact: ")
        join = await self.type(lab, "desk", "routing-crust invite laptop")
        # the second command starts the daemon as well
        joined = await self.type(lab, "laptop", join.replace("join ", "join --start "))
        # a busy machine may take longer to link than the command waits for that
        self.assertRegex(
            joined.splitlines()[-1], r"^you are laptop in home; [01] members? (is|are) reachable$"
        )
        await self.expose_and_get(lab)
