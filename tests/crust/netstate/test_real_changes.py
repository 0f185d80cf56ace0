"""
Changes of a real network, as the kernel tells them: two hosts, each a network namespace, and a cable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import SkipTest

from ...daemon.children import Child, ProcessTestCase

reactor: Any = _reactor
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Program(Child):
    """A child that is told what to do, and counts what it says."""

    count = 0

    def tell(self, line: str) -> None:
        self.transport.write(f"{line}\n".encode())

    async def next(self, pattern: str) -> str:
        """What matches first of all that it says from here on."""
        found = await self.wait_for(rf"(?s:\A.{{{self.count},}}?)(^{pattern}$)")
        self.count = self.out.index(found, self.count) + len(found)
        return found


class RealChangesTests(ProcessTestCase):
    """What the nodes of the two hosts notice. The hosts have 10.77.1.1 and 10.77.1.2."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("network namespaces take root")
        if shutil.which("ip", path=PATH) is None:
            raise SkipTest("ip is not installed")
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        for number in (1, 2):
            try:
                self.ip("netns", "add", self.host(number))
            except AssertionError as problem:
                raise SkipTest(f"network namespaces cannot be made here: {problem}") from None
            self.addCleanup(self.ip, "netns", "del", self.host(number))
        one, two = self.host(1), self.host(2)
        self.ip("link", "add", "cable", "netns", one, "type", "veth", "peer", "name", "cable", "netns", two)
        for number in (1, 2):
            self.on(number, "link", "set", "lo", "up")
            self.on(number, "addr", "add", f"10.77.1.{number}/24", "dev", "cable")
            self.on(number, "link", "set", "cable", "up")

    def host(self, number: int) -> str:
        """The name of a host's namespace."""
        return f"rcw{os.getpid()}-{number}"

    def ip(self, *arguments: str) -> None:
        done = subprocess.run(
            ("ip", *arguments), capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
        )
        if done.returncode:
            raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def on(self, number: int, *arguments: str) -> None:
        """Run C{ip} on a host."""
        self.ip("-n", self.host(number), *arguments)

    async def node(self, number: int) -> Program:
        """A node on a host, with the same seed."""
        child = Program()
        program = (sys.executable, "-m", "tests.crust.netstate.watched_node", str(number))
        command = ("ip", "netns", "exec", self.host(number), *program)
        path = os.pathsep.join(map(os.path.abspath, sys.path))
        transport = reactor.spawnProcess(
            child,
            "/usr/bin/env",
            ["env", *command],
            env={**os.environ, "PATH": PATH, "PYTHONPATH": path},
            path=str(self.folder),
        )

        def end() -> Any:
            if child.running:
                transport.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        await child.next("started")
        return child

    async def linked(self) -> tuple[Program, Program]:
        """Two nodes, one linked to two."""
        one, two = await self.node(1), await self.node(2)
        one.tell("connect 2 10.77.1.2:5483")
        await one.next("link 10.77.1.1 to 10.77.1.2")
        await two.next("link 10.77.1.2 to 10.77.1.1")
        return one, two

    async def stop(self, *nodes: Program) -> None:
        for each in nodes:
            each.tell("stop")
            self.assertEqual((await each.ended, each.err), (0, ""))
            self.assertNotIn("log", each.out)

    async def test_new_address_is_named_and_the_link_stays(self) -> None:
        one, two = await self.linked()
        self.on(1, "addr", "add", "10.77.2.9/24", "dev", "cable")
        await one.next("endpoints .*10.77.2.9:5483.*")
        await one.next("changed")
        one.tell("send")
        await two.next("message 200")
        await self.stop(one, two)
        self.assertNotIn("lost 10.77.1.1 this host", one.out)

    async def test_link_from_a_lost_address_is_gone_at_once(self) -> None:
        """No heartbeat is due for a minute."""
        one, two = await self.linked()
        self.on(1, "addr", "del", "10.77.1.1/24", "dev", "cable")
        await one.next("lost 10.77.1.1 .*this host has lost the address 10.77.1.1.*")
        await self.stop(one)
        two.tell("stop")

    async def test_new_route_is_a_change(self) -> None:
        """A route that is none to an address of our own is a change as well."""
        one = await self.node(1)
        self.on(1, "route", "add", "198.51.100.0/24", "via", "10.77.1.2")
        await one.next("changed")
        await self.stop(one)

    async def test_link_outlives_a_short_interruption(self) -> None:
        """A link outlives a short interruption, and is rebuilt after a long one."""
        one, two = await self.linked()
        self.on(1, "link", "set", "cable", "down")
        await one.next("changed")
        self.on(1, "link", "set", "cable", "up")
        one.tell("send")
        await two.next("message 200")
        self.on(1, "link", "set", "cable", "down")
        await one.next("lost 10.77.1.1 .*did not answer.*")
        self.on(1, "link", "set", "cable", "up")
        await one.next("changed")
        one.tell("connect 2 10.77.1.2:5483")
        await one.next("link 10.77.1.1 to 10.77.1.2")
        await self.stop(one, two)

    async def test_new_ipv6_address_is_named(self) -> None:
        one = await self.node(1)
        self.on(1, "addr", "add", "2001:db8::1/64", "dev", "cable", "nodad")
        await one.next("changed")
        self.on(1, "route", "add", "2001:db8:1::/48", "via", "2001:db8::2")
        await one.next("changed")
        await self.stop(one)
