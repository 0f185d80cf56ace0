"""C{examples/dask_crust.py}: a cluster of Dask whose workers are behind NATs and reach each other by name."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from ..daemon.children import SCRIPT
from .home import Program
from .lab import Lab
from .node import PORT, LabNode, LabTestCase, environment
from .router import Nat, Router

reactor: Any = _reactor
EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "dask_crust.py"
SIZE: Final = 3_000_000
_CLIENT: Final = """
import os, sys, dask_crust
from distributed import Client

def make(size):
    return os.environ["AT"].encode() * size

def look(made):
    return f"{made[:1].decode()} to {os.environ['AT']}: {len(made)}"

with Client(sys.argv[1], set_as_default=False) as client:
    client.wait_for_workers(2)
    made = client.submit(make, int(sys.argv[2]), workers=["a"])
    print(client.submit(look, made, workers=["b"]).result(), flush=True)
"""


class DaskTests(LabTestCase):
    def setUp(self) -> None:
        if find_spec("distributed") is None or not EXAMPLE.exists():
            raise SkipTest("Dask's workers are not here: pip install routing-crust[adapters]")
        self.homes = Path(tempfile.mkdtemp(prefix="natlab-"))
        self.addCleanup(shutil.rmtree, self.homes, ignore_errors=True)
        script = self.homes / "routing-crust"
        script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *SCRIPT])} "$@"\n')
        script.chmod(0o755)

    def python(self, lab: Lab, node: LabNode, at: str, *words: str) -> Program:
        """Run Python beside a daemon, in a session of its own, so that what it starts ends with it."""
        child = Program()
        home = self.homes / node.name[:8]
        home.mkdir(exist_ok=True)
        env = environment()
        env |= {
            "AT": at,
            "CRUST_ALLOW": "*",
            "CRUST_OPTIONS": f"--state-dir={node.state_dir}",
            "HOME": str(home),
        }
        env["PATH"] = f"{self.homes}{os.pathsep}{env['PATH']}"
        env["PYTHONPATH"] += f"{os.pathsep}{EXAMPLE.parent}"
        place = ["ip", "netns", "exec", lab.namespace(node.host).name, "setsid"]
        command = [*place, sys.executable, *words]
        session = reactor.spawnProcess(child, "ip", command, env=env, path=str(home)).pid

        def end() -> Deferred[int]:
            # also when it has ended: what it has started may not have
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
            return child.ended

        self.addCleanup(end)
        return child

    async def test_worker_behind_a_nat_reads_what_a_worker_behind_another_has(self) -> None:
        lab = self.build(
            {"alice": Router(Nat.PORT_RESTRICTED), "bob": Router(Nat.PORT_RESTRICTED)}, delay=0.010
        )
        first = await self.start_first(lab)
        options = (f"--contact={first.contact(lab.rendezvous[0])}", f"--listen=0.0.0.0:{PORT}")
        alice, bob = [await self.start_node(lab, host, *options) for host in ("alice", "bob")]
        for node in (alice, bob):
            await node.wait_for("connected .was bootstrapping")
        here = ("--preload=dask_crust", "--no-dashboard")
        scheduler = self.python(lab, first, "s", "-m", "dask", "scheduler", *here, "--host=routing://./dask")
        address = await scheduler.wait_for(r"Scheduler at: +(routing://\S+)")
        for node, at in ((alice, "a"), (bob, "b")):
            how = ("--no-nanny", "--nthreads=1", f"--name={at}", "--protocol=routing://")
            self.python(lab, node, at, "-m", "dask", "worker", *here, *how, address)
        client = self.python(lab, first, "c", "-c", _CLIENT, address, str(SIZE))
        self.assertEqual(await client.wait_for(r"a to b: (\d+)"), str(SIZE))
