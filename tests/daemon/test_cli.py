"""
The console script: in this process, against a server with a stand-in for the node.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from routing_crust import Endpoint, RoutingService, Settings, __version__
from routing_crust.daemon import cli
from routing_crust.daemon.cli import main
from routing_crust.daemon.commands import here
from routing_crust.daemon.control import client, listen_queue
from routing_crust.daemon.control.client import ControlClient
from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.server import ControlServer
from routing_crust.daemon.forward.connections import Change, Suspension
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.errors import PeerUnreachable
from routing_crust.forwarding_rules import Nickname
from routing_crust.identity import create_identity

from .fakes import ALICE, BOB, FakeService, message, temporary_directory

COMMANDS = tuple(cli.COMMAND_MODULES)

NOBODY = "routing-crust: nobody may use it yet: say who may, with --allow NAME\n"


class CliTestCase(TestCase):
    """A state directory, and what the script writes."""

    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def run_script(self, *arguments: str) -> int:
        """Run it here, and return its exit code."""
        ended = self.assertRaises(SystemExit, main, arguments)
        assert isinstance(ended.code, int)
        return ended.code

    def here(self, *arguments: str) -> tuple[str, ...]:
        return (*arguments, "--state-dir", str(self.folder))

    def refused(self, *arguments: str) -> str:
        self.assertEqual(self.run_script(*arguments), 2)
        return self.err.getvalue().splitlines()[-1]


class KeyTests(CliTestCase):
    """What needs no daemon."""

    def test_keygen_makes_a_key_and_name_reads_it(self) -> None:
        self.assertEqual(self.run_script(*self.here("keygen")), 0)
        name = self.out.getvalue()
        self.assertRegex(name, r"^[a-z2-7]{52}\n$")
        self.assertEqual(stat.S_IMODE((self.folder / "key.pem").stat().st_mode), 0o600)
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.run_script(*self.here("name")), 0)
        self.assertEqual(self.out.getvalue(), name)

    def test_keygen_makes_the_state_directory(self) -> None:
        folder = self.folder / "new"
        self.assertEqual(self.run_script("keygen", "--state-dir", str(folder)), 0)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_key_file_may_be_anywhere(self) -> None:
        path = self.folder / "my.pem"
        self.assertEqual(self.run_script("keygen", str(path)), 0)
        self.assertEqual(self.run_script("name", str(path)), 0)
        first, second = self.out.getvalue().splitlines()
        self.assertEqual(first, second)

    def test_an_old_key_is_not_replaced(self) -> None:
        create_identity(self.folder / "key.pem")
        before = (self.folder / "key.pem").read_bytes()
        self.assertEqual(self.run_script(*self.here("keygen")), 1)
        self.assertEqual((self.folder / "key.pem").read_bytes(), before)
        self.assertEqual(
            self.err.getvalue(),
            f"routing-crust: the key file {self.folder}/key.pem is there already, and a key is never "
            "replaced\n",
        )

    def test_missing_key_is_named_with_its_path(self) -> None:
        self.assertEqual(self.run_script(*self.here("name")), 1)
        self.assertEqual(
            self.err.getvalue(),
            f"routing-crust: the key file {self.folder}/key.pem cannot be read: No such file or directory\n",
        )

    def test_the_configuration_of_the_daemon_says_where(self) -> None:
        config = self.folder / "node.toml"
        config.write_text(f'state_dir = "{self.folder}/s"\n')
        self.assertEqual(self.run_script("keygen", "--config", str(config)), 0)
        self.assertTrue((self.folder / "s" / "key.pem").exists())

    def test_the_network_says_where(self) -> None:
        self.patch(here, "default_state_dir", lambda network: self.folder / network)
        self.assertEqual(self.run_script("keygen", "--network=lab"), 0)
        self.assertTrue((self.folder / "lab" / "key.pem").exists())


class UsageTests(CliTestCase):
    """Help, and command lines that cannot be used."""

    def test_help_names_every_command(self) -> None:
        self.assertEqual(self.run_script("--help"), 0)
        for command in COMMANDS:
            self.assertIn(f"\n    {command}", self.out.getvalue())
        self.assertIn("exit codes: 0 done, 1 failed, 2 the command line cannot be used", self.out.getvalue())

    def test_each_command_of_the_help_has_a_function(self) -> None:
        self.assertEqual(self.run_script("--help"), 0)
        shown = re.findall(r"^    ([a-z-]+(?: (?:add|remove|list))?)", self.out.getvalue(), re.MULTILINE)
        self.assertEqual(sorted(shown), sorted(COMMANDS))
        for command in cli.COMMAND_MODULES:
            self.assertTrue(callable(cli._function(command)), command)

    def test_each_command_has_help_that_says_which_daemon(self) -> None:
        for command in COMMANDS:
            self.assertEqual(self.run_script(*command.split(), "--help"), 0)
            self.assertIn(f"usage: routing-crust {command} ", self.out.getvalue())
            self.assertIn("--state-dir FOLDER", self.out.getvalue())
            self.out.truncate(0)

    def test_version_is_printed(self) -> None:
        self.assertEqual(self.run_script("--version"), 0)
        self.assertEqual(self.out.getvalue(), f"routing-crust {__version__}\n")

    def test_command_is_required(self) -> None:
        self.assertIn("required: COMMAND", self.refused())

    def test_name_that_is_none_is_refused(self) -> None:
        for command in ("send", "request"):
            self.assertEqual(
                self.refused(command, "b/b", "hello"),
                f"routing-crust {command}: error: argument NAME: 'b/b' is not a name: a name has 52 "
                "characters, and this has 3; 'routing-crust name' prints that of a node",
            )

    def test_count_that_is_none_is_refused(self) -> None:
        for text in ("0", "x", "-1", "1" * 5000):
            self.assertIn("is not a count: write 1 or more", self.refused("listen", f"--count={text}"))

    def test_timeout_that_is_none_is_refused(self) -> None:
        for text in ("0", "x", "nan", "1e9"):
            self.assertIn(
                "is not a time: write 0.1 to 86400 seconds",
                self.refused("send", str(BOB), "hi", f"--timeout={text}"),
            )

    def test_folder_with_too_long_a_path_is_refused(self) -> None:
        self.assertEqual(self.run_script("status", "--state-dir", "/" + "x" * 120), 1)
        self.assertIn("give a shorter folder", self.err.getvalue())

    def test_misspelt_command_is_told_what_was_meant(self) -> None:
        self.assertEqual(
            self.refused("explian"),
            "routing-crust: error: 'explian' is no command; there is 'explain': 'routing-crust --help' lists "
            "them all",
        )
        self.assertIn("'xyzzy' is no command: 'routing-crust --help'", self.refused("xyzzy"))

    def test_first_half_of_a_command_has_help(self) -> None:
        for option in ("--help", "-h"):
            self.assertEqual(self.run_script("contact", option), 0)
            for verb in ("add", "remove", "list"):
                self.assertIn(f"routing-crust contact {verb} --help", self.out.getvalue())
        self.assertIn("'xyzzy' is no command", self.refused("xyzzy", "--help"))

    def test_first_half_of_a_command_names_those_that_begin_with_it(self) -> None:
        there = "there is 'contact add', 'contact remove', 'contact list'"
        for words in (("contact",), ("contact", "ad")):
            self.assertIn(there, self.refused(*words))

    def test_no_daemon_says_how_to_start_it(self) -> None:
        create_identity(self.folder / "key.pem")
        self.assertEqual(self.run_script(*self.here("status"), "--network", "lab"), 1)
        self.assertEqual(
            self.err.getvalue(),
            f"routing-crust: no daemon runs with the state directory {self.folder}: start one with "
            f"'twistd routing-node --network=lab --state-dir={self.folder}', or say where it is with "
            "--state-dir, --network or --config\n",
        )

    def test_no_daemon_of_a_network_that_is_here_is_started_by_the_command_for_it(self) -> None:
        create_identity(self.folder / "key.pem")
        (self.folder / "config.toml").write_text("")
        self.assertEqual(self.run_script(*self.here("status")), 1)
        self.assertIn(f"start one with 'routing-crust start --state-dir={self.folder}'", self.err.getvalue())


class DaemonTests(CliTestCase):
    """What the daemon is asked for. The script is in a thread, since it blocks."""

    def setUp(self) -> None:
        super().setUp()
        self.service = FakeService()
        self.inbox = DaemonInbox()
        server = ControlServer(self.service, self.inbox, lambda: {"version": __version__})  # type: ignore
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)
        self.server = server

    def start(self, *arguments: str) -> Deferred[int]:
        return deferToThread(self.run_script, *self.here(*arguments))

    async def until(self, ready: Callable[[], object]) -> None:
        while not ready():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

    async def test_send_waits_for_the_acknowledgement(self) -> None:
        ended = self.start("send", str(BOB), "grüß \udcff")
        await self.until(lambda: self.service.calls)
        ((method, name, body, result),) = self.service.calls
        self.assertEqual((method, name, body), ("send", BOB, "grüß ".encode() + b"\xff"))
        result.callback(None)
        self.assertEqual(await ended, 0)
        said = rf"acknowledged by {BOB}, through other nodes, in \d+ ms\n"
        self.assertRegex(self.out.getvalue(), rf"^{said}$")
        self.assertEqual(self.err.getvalue(), "")

    async def test_dash_sends_the_standard_input(self) -> None:
        body = b"\xff\n" * 1000
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        ended = self.start("send", str(BOB), "-")
        await self.until(lambda: self.service.calls)
        ((*_, sent, result),) = self.service.calls
        self.assertEqual(sent, body)
        result.callback(None)
        self.assertEqual(await ended, 0)

    async def test_a_terminal_shows_for_how_long_an_answer_is_waited_for(self) -> None:
        self.patch(client, "TELL_SECONDS", 0.0)
        self.patch(self.err, "isatty", lambda: True)
        ended = self.start("request", str(BOB), "?")
        await self.until(lambda: self.service.calls and "waiting" in self.err.getvalue())
        self.service.calls[0][3].callback(b"yes")
        self.assertEqual(await ended, 0)
        self.assertIn(f"\r\x1b[Kwaiting for 1 B for {BOB}: 0 s", self.err.getvalue())
        self.assertTrue(self.err.getvalue().endswith("\r\x1b[K"))
        self.assertEqual(self.out.getvalue(), "yes\n")

    async def test_failed_send_exits_with_1(self) -> None:
        ended = self.start("send", str(BOB), "hello")
        await self.until(lambda: self.service.calls)
        self.service.calls[0][3].errback(PeerUnreachable("nobody there"))
        self.assertEqual(await ended, 1)
        self.assertEqual(self.err.getvalue(), "routing-crust: nobody there\n")

    async def test_send_takes_too_long(self) -> None:
        ended = self.start("send", str(BOB), "hello", "--timeout=0.1")
        self.assertEqual(await ended, 1)
        self.assertEqual(self.err.getvalue(), "routing-crust: no answer within 0.1 s\n")

    async def test_request_prints_the_answer(self) -> None:
        ended = self.start("request", str(BOB), "?")
        await self.until(lambda: self.service.calls)
        self.service.calls[0][3].callback(b"yes\x1b")
        self.assertEqual(await ended, 0)
        self.assertEqual(self.out.getvalue(), "yes\\x1b\n")

    async def test_status_is_printed_as_text(self) -> None:
        self.assertEqual(await self.start("status"), 0)
        self.assertEqual(self.out.getvalue().splitlines()[0], f"name:          {ALICE}")

    async def test_status_is_printed_as_json(self) -> None:
        self.assertEqual(await self.start("status", "--json"), 0)
        status = json.loads(self.out.getvalue())
        self.assertEqual(status["name"], str(ALICE))
        self.assertEqual(status["version"], __version__)

    async def test_explanation_is_printed_as_text(self) -> None:
        """As text, on lines of our own making whatever peers have said."""
        self.assertEqual(await self.start("explain", str(BOB)), 0)
        self.assertEqual(
            self.out.getvalue().splitlines(),
            [
                f"{BOB}: there is no link",
                "what was tried, or happened, within the last hour:",
                "  1 min 10 s ago, dial 192.0.2.1:5483: connection refused (3 times)",
                "what happens next:",
                "  wait\\x1b[2J",
            ],
        )

    async def test_explanation_is_printed_as_json(self) -> None:
        self.assertEqual(await self.start("explain", "--json", str(BOB)), 0)
        explanation = json.loads(self.out.getvalue())
        self.assertEqual((explanation["name"], explanation["linked"]), (str(BOB), False))
        self.assertEqual(explanation["attempts"][0]["outcome"], "connection refused")

    async def test_listener_ends_after_the_count(self) -> None:
        ended = self.start("listen", "--count=2")
        await self.until(lambda: len(self.inbox))
        self.inbox.message_received(message(b"one\ntwo"))
        self.inbox.message_received(message(b"three"))
        self.inbox.message_received(message(b"four"))
        self.assertEqual(await ended, 0)
        self.assertEqual(self.out.getvalue(), f"{BOB} one\\ntwo\n{BOB} three\n")

    async def test_listener_answers_requests(self) -> None:
        ended = self.start("listen", "--count=1", "--answer=yes")
        await self.until(lambda: len(self.inbox))
        self.assertEqual(self.inbox.request_received(message(b"well?")), b"yes")
        self.assertEqual(await ended, 0)
        self.assertEqual(self.out.getvalue(), f"{BOB} well?\n")

    async def test_listen_tells_of_what_was_left_out(self) -> None:
        self.patch(listen_queue, "LISTEN_QUEUE_MESSAGES", 1)
        ended = self.start("listen", "--count=2")
        await self.until(lambda: len(self.inbox))
        (connection,) = self.server.connections
        connection.pauseProducing()
        for _ in range(8):
            self.inbox.message_received(message(b"one"))
        connection.resumeProducing()
        self.inbox.message_received(message(b"two"))
        self.assertEqual(await ended, 0)
        self.assertEqual(self.err.getvalue(), "routing-crust: 7 messages came too fast and are left out\n")

    async def test_listen_ends_with_the_daemon(self) -> None:
        ended = self.start("listen")
        await self.until(lambda: len(self.inbox))
        await self.server.stop(reactor)
        self.assertEqual(await ended, 1)
        self.assertEqual(self.err.getvalue(), "routing-crust: the daemon has stopped\n")

    async def test_an_interrupted_listener_has_done_what_it_should(self) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        self.patch(ControlClient, "replies", interrupted)
        self.assertEqual(await self.start("listen"), 0)
        self.patch(ControlClient, "ask", interrupted)
        self.assertEqual(await self.start("status"), 1)

    async def test_reader_that_has_seen_enough_costs_no_traceback(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            self.patch(sys, "stdout", pipe)
            self.assertEqual(await self.start("status"), 1)
        self.assertEqual(self.err.getvalue(), "")


class CarryTests(CliTestCase):
    """What the daemon is to carry for as long as the script runs."""

    def setUp(self) -> None:
        super().setUp()
        settings = Settings(listen=(Endpoint("127.0.0.1", 0),), nicknames=(Nickname("bob", BOB),))
        self.registry = ForwardRegistry(RoutingService(settings, reactor=reactor), reactor)
        self.server = ControlServer(self.registry.service, DaemonInbox(), dict, self.registry)
        self.server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(self.registry.stop)
        self.addCleanup(self.server.stop, reactor)

    async def until(self, what: Callable[[], object]) -> None:
        while not what():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

    async def run_until(
        self, key: str, *arguments: str, told: tuple[Suspension, ...] = (), said: str = ""
    ) -> Any:
        """Run the script until the status has this, then stop the daemon; what the status had."""
        ended = deferToThread(self.run_script, *self.here(*arguments))
        await self.until(lambda: self.registry.status()[key] and self.out.getvalue())
        status = self.registry.status()[key]
        for each in told:
            lines = self.out.getvalue()
            for owner in (*self.registry._exposers, *self.registry._forwarders):
                owner.connections.watcher(each)
            await self.until(lambda lines=lines: self.out.getvalue() != lines)  # type: ignore[misc]
        await self.server.stop(reactor)
        self.assertEqual(await ended, 1)
        self.assertEqual(self.err.getvalue(), f"{said}routing-crust: the daemon has stopped\n")
        self.assertEqual(self.registry.status()[key], [])
        return status

    async def test_forward_prints_where_it_listens(self) -> None:
        (forwarded,) = await self.run_until("forwarded", "forward", "tcp:0=bob/ssh")
        self.assertEqual((forwarded["peer"], forwarded["protocol"]), (str(BOB), "ssh"))
        self.assertEqual(self.out.getvalue(), f"forwarding {forwarded['listen']} to ssh of bob\n")
        self.assertTrue(forwarded["listen"].startswith("127.0.0.1:"))

    async def test_expose_prints_the_allowed_peers(self) -> None:
        words = ("expose", "ssh=tcp:h:22", "--allow", "bob", "--allow", str(ALICE))
        (exposed,) = await self.run_until("exposed", *words)
        self.assertEqual(exposed["allowed"], [str(BOB), str(ALICE)])
        self.assertEqual(self.out.getvalue(), f"exposing tcp:h:22 as ssh to bob, {ALICE}\n")

    async def test_time_to_wait_for_a_link_goes_to_the_daemon(self) -> None:
        (forwarded,) = await self.run_until("forwarded", "forward", "--keep=1h", "tcp:0=bob/ssh")
        self.assertEqual(forwarded["keep"], 3600.0)

    async def test_time_that_peers_may_wait_goes_to_the_daemon(self) -> None:
        (exposed,) = await self.run_until(
            "exposed", "expose", "ssh=tcp:h:22 keep 2d", "--keep", "90", said=NOBODY
        )
        self.assertEqual(exposed["keep"], 90.0)

    async def test_forward_and_expose_tell_of_suspensions(self) -> None:
        """The one peer of a forward by the name that the operator has given."""
        lost = Suspension(BOB, Change.SUSPENDED, 2, because="silence")
        back = Suspension(BOB, Change.RESUMED, 2, 12.0)
        await self.run_until("forwarded", "forward", "tcp:0=bob/ssh", told=(lost, back))
        self.assertEqual(
            self.out.getvalue().splitlines()[1:],
            [
                "the link to bob is lost (silence): 2 connections wait for another one",
                "bob is back after 12 s: 2 connections go on",
            ],
        )

    async def test_expose_names_the_peer_whose_connections_end(self) -> None:
        ended = Suspension(BOB, Change.ENDED, 1, 600.0, "too late")
        await self.run_until("exposed", "expose", "ssh=tcp:h:22", told=(ended,), said=NOBODY)
        self.assertEqual(
            self.out.getvalue().splitlines()[1:], [f"1 connection with {BOB} has ended: too late"]
        )

    def test_mistyped_second_word_is_told_from_an_entry(self) -> None:
        for words, meant in ((("expose", "ad", "a=1"), "expose add"), (("forward", "lst"), "forward list")):
            self.assertIn(f"is no command; there is '{meant}'", self.refused(*words))
        self.assertIn("write PROTOCOL=ENDPOINT", self.refused("expose", "web"))

    async def test_exposing_without_allow_is_for_nobody(self) -> None:
        (exposed,) = await self.run_until("exposed", "expose", "ssh=tcp:h:22", said=NOBODY)
        self.assertEqual((exposed["allowed"], self.out.getvalue()[-7:]), ([], "nobody\n"))

    async def test_interrupted_forward_exits_with_0(self) -> None:
        def interrupt(client: object, said: object) -> None:
            raise KeyboardInterrupt

        self.patch(ControlClient, "wait_for_the_end", interrupt)
        for words in (("expose", "ssh=tcp:h:22", "--allow", "*"), ("forward", "tcp:0=bob/ssh")):
            self.assertEqual(await deferToThread(self.run_script, *self.here(*words)), 0)

    async def test_refused_command_exits_with_1(self) -> None:
        for words, text in (
            (("expose", "ssh=what"), "target: 'what' is no endpoint to connect to"),
            (("forward", "tcp:0=carol/ssh"), "'carol' is no nickname that the setting nicknames gives"),
            (("send", "carol", "hello"), "'carol' is no nickname that the setting nicknames gives"),
        ):
            self.assertEqual(await deferToThread(self.run_script, *self.here(*words)), 1)
            self.assertIn(text, self.err.getvalue())

    def test_unusable_argument_is_refused(self) -> None:
        self.assertIn("write ENDPOINT=NAME/PROTOCOL", self.refused("forward", "tcp:1"))
        self.assertIn("is not a name", self.refused("forward", "tcp:1=b!b/ssh"))
        self.assertIn("write PROTOCOL=ENDPOINT", self.refused("expose", "ssh"))
        self.assertIn("is not a name", self.refused("expose", "ssh=tcp:h:1", "--allow=b!b"))
        self.assertIn("is not a time to keep", self.refused("forward", "tcp:1=bob/ssh", "--keep=long"))

    async def test_daemon_that_carries_nothing_says_so(self) -> None:
        self.server.registry = None
        self.assertEqual(await deferToThread(self.run_script, *self.here("expose", "a=tcp:h:1")), 1)
        self.assertIn("nothing is carried here", self.err.getvalue())


class PathsTests(CliTestCase):
    """Paths on the command line are relative to where the script runs."""

    def test_relative_state_dir_is_made_absolute(self) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.assertEqual(self.run_script("keygen", "--state-dir=s"), 0)
        self.assertTrue((self.folder / "s" / "key.pem").exists())
