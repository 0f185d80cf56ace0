"""A laboratory leaves nothing behind, and does not get in the way of another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .lab import Lab
from .layout import RENDEZVOUS
from .namespaces import FOLDER, LabError, remove_orphans
from .peers import PORT, PeersTestCase
from .router import Nat, Router

_SLEEPER = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); sys.stdin.read()"
_KILLED = """
import os, signal
from tests.natlab.lab import Lab
lab = Lab({"host": None}, delay=0.001)
lab.start()
print(lab.namespace("host").name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def there() -> list[str]:
    """The namespaces of this process' laboratories."""
    return sorted(each.name for each in FOLDER.glob(f"natlab-{os.getpid()}-*"))


class TeardownTests(PeersTestCase):
    def setUp(self) -> None:
        # skips
        self.build({}).lab.stop()

    def sleeper(self, lab: Lab, place: str | Router) -> subprocess.Popen[bytes]:
        """A process that ends only when it is killed."""
        made = lab.popen(place, sys.executable, "-c", _SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for each in (made.stdin, made.stdout):
            assert each is not None
            self.addCleanup(each.close)
        assert made.stdout is not None
        made.stdout.readline()
        return made

    def test_processes_and_namespaces_are_gone_after_a_failure(self) -> None:
        """The processes, those that ignore signals too, and the namespaces; also after a failure."""
        home = Router(Nat.FULL_CONE, upnp=True)
        with self.assertRaises(ZeroDivisionError), Lab({"host": home}, delay=0.001) as lab:
            self.assertEqual(len(there()), 4)
            running = [self.sleeper(lab, place) for place in ("host", home, RENDEZVOUS)]
            raise ZeroDivisionError
        self.assertEqual(there(), [])
        self.assertEqual([each.returncode for each in running], [-9, -9, -9])
        lab.stop()

    def test_half_built_laboratory_is_removed(self) -> None:
        """What cannot be built to the end is removed."""
        lab = Lab({"host": Router(Nat.FULL_CONE, lan="256.256.256")})
        self.assertRaises(LabError, lab.start)
        self.assertEqual(there(), [])

    def test_names_that_a_host_cannot_have_are_refused(self) -> None:
        for name in ("internet", "rendezvous", "", "a b", "r-1", "x" * 21):
            self.assertRaises(ValueError, Lab, {name: None})

    def test_two_laboratories_with_the_same_addresses_do_not_meet(self) -> None:
        """With the same addresses, and each with its own hosts; one ends, and the other goes on."""
        one, other = self.build({"host": None}), self.build({"host": None})
        running = self.sleeper(other.lab, "host")
        self.assertEqual(one.lab.address("host"), other.lab.address("host"))
        to = (other.lab.address("host"), PORT)
        other.listener("host")
        other.dial(RENDEZVOUS, to)
        self.refused(one, RENDEZVOUS, to)
        one.lab.stop()
        other.dial(RENDEZVOUS, to, port=0)
        self.assertIsNone(running.poll())

    def test_orphan_of_a_killed_process_is_removed_by_the_next(self) -> None:
        """That of a process that was killed is removed by the next one that is built."""
        root = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            [sys.executable, "-c", _KILLED],
            cwd=root,
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            check=False,
        )
        orphan = FOLDER / done.stdout.decode().strip()
        self.assertEqual(done.returncode, -9)
        self.assertTrue(orphan.exists())
        remove_orphans()
        self.assertFalse(orphan.exists())
