"""A stream between nodes behind NATs: programs that know nothing of them speak HTTP over a punched link."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue

from ..daemon.children import Child
from .lab import Lab
from .layout import RENDEZVOUS
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

reactor: Any = _reactor
SIZE: Final = 1_000_000
SERVED: Final = 8080
FORWARDED: Final = 8081
_GET: Final = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    sys.stdout.buffer.write(answer.read())
"""


class HttpTests(LabTestCase):
    async def test_every_byte_of_http_comes_over_a_punched_link(self) -> None:
        """A web server behind one NAT, a client behind another: every byte comes, and by no third node."""
        lab = self.build(
            {"alice": Router(Nat.PORT_RESTRICTED), "bob": Router(Nat.PORT_RESTRICTED)}, delay=0.010
        )
        contacts = await self.contacts(lab)
        content = Random(1).randbytes(SIZE)
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "large").write_bytes(content)
        await self.web(lab, "bob", folder)
        bob = await self.start_node(
            lab, "bob", *contacts, f"--expose=web=tcp:127.0.0.1:{SERVED}", "--allow-peer=web=*"
        )
        forward = f"--forward=tcp:{FORWARDED}={bob.name}/web"
        alice = await self.start_node(lab, "alice", *contacts, forward)
        for node, peer in ((alice, bob), (bob, alice)):
            outside = lab.public(peer.host).replace(".", r"\.")
            await node.wait_for(rf" link (?:to|from) node {peer.name} at {outside}:")
        await self.punched(alice, bob)
        got = await self.get(lab, "alice", f"http://127.0.0.1:{FORWARDED}/large")
        self.assertEqual(sha256(got).digest(), sha256(content).digest())
        await self.punched(alice, bob)

    async def contacts(self, lab: Lab) -> list[str]:
        """Two nodes on the internet, on different networks, as options."""
        first = await self.start_first(lab)
        options = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = await self.start_node(lab, RENDEZVOUS, *options, f"--listen={lab.rendezvous[1]}:{PORT}")
        return [
            *options,
            f"--contact={second.contact(lab.rendezvous[1])}",
            f"--listen=0.0.0.0:{PORT}",
        ]

    async def punched(self, alice: LabNode, bob: LabNode) -> None:
        """Both say that their link is a punched one."""
        self.assertEqual((await alice.path_kinds())[bob.name], "punched")
        self.assertEqual((await bob.path_kinds())[alice.name], "punched")

    async def web(self, lab: Lab, host: str, folder: Path) -> None:
        """The standard library's own web server, as a process."""
        child = Child()
        place = ["ip", "netns", "exec", lab.namespace(host).name, sys.executable, "-u", "-m", "http.server"]
        options = ["--bind=127.0.0.1", f"--directory={folder}", str(SERVED)]
        transport = reactor.spawnProcess(child, "ip", [*place, *options], env=None)

        def end() -> Deferred[int] | None:
            if not child.running:
                return None
            transport.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        await child.wait_for("^Serving HTTP on ")

    async def get(self, lab: Lab, host: str, url: str) -> bytes:
        """What a program there gets from an address."""
        place = ["netns", "exec", lab.namespace(host).name, sys.executable, "-c", _GET, url]
        out, err, code = await getProcessOutputAndValue("ip", place, env=None)
        self.assertEqual(code, 0, err.decode())
        return bytes(out)
