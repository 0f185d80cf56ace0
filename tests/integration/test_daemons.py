"""
A network of daemons, as an operator runs them: real processes on loopback.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from tests.integration.processes import Daemon, DaemonCase
from tests.integration.programs import free_port


def here() -> str:
    """Where a daemon listens, and can listen again after it was killed."""
    return f"127.0.0.1:{free_port()}"


def asynchronous(test: Any) -> Any:
    """Let trial run a coroutine."""

    def run(self: Any) -> Deferred[Any]:
        coroutine: Coroutine[Any, Any, Any] = test(self)
        return Deferred.fromCoroutine(coroutine)

    run.__doc__ = test.__doc__
    return run


class FiveDaemonTests(DaemonCase):
    async def first(self) -> Daemon:
        first = self.start("one", "--first", f"--listen={here()}")
        await self.until(lambda: first.contact)
        return first

    async def five(self) -> list[Daemon]:
        """Five daemons, started one after another with one contact; all in each other's tables."""
        daemons = [await self.first()]
        for name in ("two", "three", "four", "five"):
            daemon = self.start(name, f"--contact={daemons[0].contact}", f"--listen={here()}")
            await self.until(lambda daemon=daemon: daemon.contact)
            daemons.append(daemon)
        await self.until(lambda: self.meshed(daemons))
        return daemons

    def meshed(self, daemons: list[Daemon]) -> bool:
        names = {each.name for each in daemons}
        return all(
            each.table == names - {each.name}
            and each.state == "connected"
            and each.said("linked with all neighbours")
            for each in daemons
        )

    async def send(self, sender: Daemon, receiver: Daemon, text: str) -> None:
        """From one to the other with the command, seen by a listener there."""
        _, err, status = await self.run_command(
            "send", f"--state-dir={sender.state_dir}", receiver.name, text
        )
        self.assertEqual((err, status), ("", 0))

    @asynchronous
    async def test_network_outlives_its_daemons_and_takes_them_back(self) -> None:
        """
        Five daemons find each other; a message from the first arrives at the last; the contact node is
        killed, and the rest go on; it comes back and is admitted; all but one are killed, and that one joins
        again when they return.
        """
        daemons = await self.five()
        first, last = daemons[0], daemons[4]
        listening = self.run_command("listen", f"--state-dir={last.state_dir}", "--count=1")
        heard = Deferred.fromCoroutine(listening)
        await self.wait_for_listener(last)
        await self.send(first, last, "from the first to the last")
        out, _, status = await heard
        self.assertEqual(status, 0)
        self.assertIn("from the first to the last", out)
        self.assertIn(first.name, out)

        first.signal(signal.SIGKILL)
        self.assertEqual(await first.ended, -signal.SIGKILL)
        rest = daemons[1:]
        await self.until(lambda: self.meshed(rest))
        self.assertTrue(all(each.state == "connected" for each in rest))
        await self.send(rest[0], last, "still here")

        again = self.start("one", "--first", f"--listen={first.endpoint}")
        await self.until(lambda: self.meshed([again, *rest]))
        self.assertEqual(again.name, first.name)

        for each in (again, *rest[:3]):
            each.signal(signal.SIGKILL)
            await each.ended
        await self.until(lambda: last.state == "bootstrapping")
        self.assertEqual(last.table, set())
        returned = [self.start("one", "--first", f"--listen={first.endpoint}")]
        for name, each in zip(("two", "three", "four"), rest, strict=False):
            returned.append(self.start(name, f"--contact={first.contact}", f"--listen={each.endpoint}"))
        await self.until(lambda: self.meshed([*returned, last]))
        await self.send(returned[0], last, "together again")

        for each in (*returned, last):
            each.signal(signal.SIGTERM)
        for each in (*returned, last):
            # twistd ends as the signal would have ended it, once all is stopped
            self.assertEqual(await each.ended, -signal.SIGTERM)
            self.assertTrue(each.said(" stopped"))
            self.assertFalse(each.said("Traceback"))
            self.assertFalse((each.state_dir / "control.sock").exists())

    async def wait_for_listener(self, daemon: Daemon) -> None:
        """Wait until the daemon says that somebody listens."""
        while True:
            out, _, _ = await self.run_command("status", "--json", f"--state-dir={daemon.state_dir}")
            if json.loads(out).get("listeners"):
                return

    @asynchronous
    async def test_client_process_is_reached_by_name(self) -> None:
        """A client process reaches a node by name and gets an answer, and is reached by its own."""
        first = await self.first()
        second = self.start("two", f"--contact={first.contact}", f"--listen={here()}")
        await self.until(lambda: second.contact)
        client = self.start("client", "--client", f"--contact={first.contact}")
        await self.until(lambda: client.state == "connected" and self.meshed([first, second]))
        out, err, status = await self.run_command(
            "request", f"--state-dir={client.state_dir}", second.name, "ping"
        )
        self.assertEqual((out, err, status), ("pong\n", "", 0))
        name, _, _ = await self.run_command("name", f"--state-dir={client.state_dir}")
        out, err, status = await self.run_command(
            "request", f"--state-dir={second.state_dir}", name.strip(), "ping"
        )
        self.assertEqual((out, err, status), ("pong\n", "", 0))
        client.signal(signal.SIGINT)
        self.assertEqual(await client.ended, -signal.SIGINT)
        self.assertTrue(client.said(" stopped"))
