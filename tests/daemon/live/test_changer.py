"""
The settings of a daemon that runs are read again: two nodes in memory, whose programs the test plays, and a
real file.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, LogPublisher, formatEvent

from routing_crust.daemon.forward import registry as carrying
from routing_crust.daemon.forward.changing import ProgramChanges
from routing_crust.daemon.live.changer import LiveSettings
from routing_crust.daemon.live.differences import ChangeOutcome
from routing_crust.daemon.live.entries import adding, removing
from routing_crust.daemon.live.source import Configuration, SettingsSource
from routing_crust.daemon.logs import LogFormat, LogStyle
from routing_crust.errors import CannotListen, CloseReason, ConfigurationError, ServiceStopped
from routing_crust.streams import StreamLinkLost, StreamReason, StreamReset, streams_of
from tests.daemon.fakes import temporary_directory
from tests.daemon.forward.carrying_case import CarryingCase
from tests.streams.protocols import Keeping

from ..control.wires import Port


class LiveCase(CarryingCase):
    """
    The server is the daemon that is changed: it exposes C{ssh} and forwards C{tcp:1}.

    @ivar ports: those that were opened, by their endpoint strings.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ports: dict[str, Port] = {}
        self.taken: set[str] = set()
        self.patch(carrying, "target_endpoint", lambda reactor, setting, text: self.program)
        self.patch(carrying, "listening_endpoint", self.listening)
        self.patch(LiveSettings, "log", Logger(observer=LogPublisher(self.logged)))
        self.path = temporary_directory(self) / "config.toml"
        self.registry = self.registries[0]
        self.styles: list[LogStyle] = []
        self.write(self.text())
        source = SettingsSource(self.given(), {}, self.path)
        configuration = source.read()
        self.server.change_settings(configuration.settings)
        self.registry.start(configuration.settings)
        self.live = LiveSettings(
            source,
            Configuration(self.server.settings, given=configuration.given),
            self.server,
            ProgramChanges(self.registry),
            self.styles.append,
        )

    def logged(self, event: Any) -> None:
        self.lines.append(formatEvent(event))

    def given(self) -> dict[str, object]:
        """What the node has, so that only what a test changes is different."""
        mine = self.server.settings
        return {
            each: getattr(mine, each)
            for each in ("role", "listen", "max_streams", "lan_discovery", "network", "two_way")
        }

    def text(self, **changes: str) -> str:
        lines = {
            "expose": '{ ssh = "tcp:localhost:22" }',
            "allow_peer": f'{{ ssh = "{self.client.node_name}" }}',
            "forward": f'{{ "tcp:1" = "{self.client.node_name}/x" }}',
            **changes,
        }
        return "".join(f"{key} = {value}\n" for key, value in lines.items())

    def write(self, text: str) -> None:
        self.path.write_text(text, "utf-8")

    def listening(self, reactor: Any, setting: str, text: str) -> Port:
        port = self.ports[text] = Port(self.net.clock)
        if text in self.taken:
            port.problem = CannotListenError("", 1, OSError(98, "Address already in use"))
        return port

    def reload(self, **changes: str) -> ChangeOutcome:
        self.write(self.text(**changes))
        return self.outcome(self.live.reload())

    def outcome(self, deferred: Deferred[ChangeOutcome]) -> ChangeOutcome:
        outcome: ChangeOutcome = self.net.result(deferred)
        return outcome

    def refused(self, kind: type[Exception], **changes: str) -> str:
        before = self.facts()
        self.write(self.text(**changes))
        failed = self.failureResultOf(self.live.reload(), kind)
        self.assertEqual(self.facts(), before)
        return failed.getErrorMessage()

    def facts(self) -> object:
        """All that a reload may change."""
        status = self.registry.status()
        ports = {text: port for text, port in self.ports.items() if port.factory is not None}
        return repr(self.server.settings), status["exposed"], status["forwarded"], ports, self.styles[:]


class ReloadTests(LiveCase):
    def test_file_that_is_as_it_was_changes_nothing(self) -> None:
        before = self.facts()
        outcome = self.reload()
        self.assertEqual((outcome.changed, outcome.restart, outcome.ended), ((), (), 0))
        self.assertTrue({"expose", "allow_peer", "forward"} <= set(outcome.stayed))
        self.assertEqual(self.facts(), before)

    def test_program_and_port_come_and_go_and_those_that_stay_are_not_touched(self) -> None:
        kept = self.ports["tcp:1"]
        listening = kept.factory
        both = f'{{ "tcp:1" = "{self.client.node_name}/x", "tcp:2" = "{self.client.node_name}/y" }}'
        outcome = self.reload(forward=both, expose='{ ssh = "tcp:localhost:22", web = "tcp:localhost:80" }')
        self.assertEqual(
            outcome.changed,
            ("expose: web=tcp:localhost:80 added", f"forward: tcp:2={self.client.node_name}/y added"),
        )
        self.assertEqual(streams_of(self.server).protocols, ["ssh", "web"])
        self.assertIs(self.ports["tcp:1"], kept)
        self.assertIs(kept.factory, listening)
        self.assertIsNotNone(self.ports["tcp:2"].factory)
        self.reload()
        self.assertEqual(streams_of(self.server).protocols, ["ssh"])
        self.assertIsNone(self.ports["tcp:2"].factory)
        self.assertIs(kept.factory, listening)

    def test_beginning_and_end_are_told_whatever_comes_of_it(self) -> None:
        told: list[str] = []
        self.live.reloading = lambda: told.append("reloading")
        self.live.reloaded = lambda: told.append("reloaded")
        self.reload()
        self.assertEqual(told, ["reloading", "reloaded"])
        self.refused(ConfigurationError, max_links='"nonsense"')
        self.assertEqual(told, ["reloading", "reloaded"] * 2)

    def test_port_that_leads_elsewhere_stays_open(self) -> None:
        kept = self.ports["tcp:1"].factory
        outcome = self.reload(forward=f'{{ "1" = "{self.client.node_name}/z" }}')
        self.assertEqual(len(outcome.changed), 2)
        self.assertIs(self.ports["tcp:1"].factory, kept)
        self.assertEqual(kept.forward.protocol, "z")

    def test_stream_that_is_still_allowed_goes_on(self) -> None:
        self.forward()
        near, far = self.open()
        self.reload(expose='{ ssh = "tcp:elsewhere:22" }', allow_peer='{ ssh = "*" }', max_links="9")
        near.send(b"still here")
        self.net.run(lambda: far.written)
        self.assertEqual(far.written, b"still here")

    def test_stream_that_is_not_allowed_any_more_ends_with_the_reason(self) -> None:
        keeping = Keeping()
        self.net.result(streams_of(self.client).open(self.server.node_name, "ssh", keeping))
        self.net.run(lambda: self.program.wires)
        outcome = self.reload(allow_peer=f'{{ ssh = "{self.server.node_name}" }}')
        self.assertEqual(outcome.ended, 1)
        self.net.run(lambda: keeping.made and keeping.made[0].reason)
        assert isinstance(keeping.made[0].reason, StreamReset)
        self.assertIs(keeping.made[0].reason.reason, StreamReason.NOT_ALLOWED)
        self.assertIn("it was taken from this peer", str(keeping.made[0].reason))
        self.net.run(self.over)

    def test_stream_that_comes_while_it_is_taken_away_is_refused(self) -> None:
        self.program.waiting = Deferred()
        keeping = Keeping()
        opened = streams_of(self.client).open(self.server.node_name, "ssh", keeping)
        self.net.run(lambda: self.registry.status()["streams"])
        self.reload(allow_peer=f'{{ ssh = "{self.server.node_name}" }}')
        self.program.waiting.callback(None)
        self.net.settle(1)
        self.failureResultOf(opened)
        self.net.run(self.over)

    def test_removed_program_and_port_end_their_connections(self) -> None:
        self.forward()
        near, _ = self.open()
        self.assertEqual(self.reload(expose="{}", allow_peer="{}").ended, 1)
        self.net.run(lambda: near.closed)
        self.net.run(self.over)

    def test_denied_peer_loses_its_link_and_streams_at_once_and_others_keep_theirs(self) -> None:
        keeping = Keeping()
        self.net.result(streams_of(self.client).open(self.server.node_name, "ssh", keeping))
        self.reload(deny=f'["{self.client.node_name}"]')
        self.net.run(lambda: keeping.made and keeping.made[0].reason)
        assert isinstance(keeping.made[0].reason, StreamLinkLost)
        self.assertIn(CloseReason.NOT_ALLOWED.text, str(keeping.made[0].reason))
        self.assertEqual(self.server.status()["links"], [])
        # and it may come back when it is taken from the list
        self.reload()
        self.net.run(lambda: self.server.status()["links"])

    def test_allow_list_without_a_peer_cuts_it(self) -> None:
        self.reload(allow=f'["{self.server.node_name}"]')
        self.net.run(lambda: self.server.status()["links"] == [])

    def test_nicknames_are_good_at_once(self) -> None:
        self.reload(nicknames=f'{{ laptop = "{self.client.node_name}" }}')
        self.assertEqual(self.server.name_of("laptop"), self.client.node_name)
        self.assertEqual(self.server.directory.nickname_of(self.client.node_name), "laptop")

    def test_log_is_written_in_another_style(self) -> None:
        outcome = self.reload(log_level='"warn"', log_format='"json"')
        self.assertEqual(self.styles, [LogStyle("warn", LogFormat.JSON)])
        self.assertIn("log_level: info -> warn", outcome.changed)

    def test_what_needs_a_restart_is_named_each_time_and_not_applied(self) -> None:
        for _ in range(2):
            outcome = self.reload(group_size="5", status_page='"tcp:8053"')
            self.assertEqual(outcome.changed, ())
            self.assertEqual(outcome.restart, ("group_size: 8 -> 5", "status_page: none -> tcp:8053"))
        self.assertEqual(self.server.settings.group_size, 8)


class StreamLimitTests(LiveCase):
    def given(self) -> dict[str, object]:
        return {key: value for key, value in super().given().items() if key != "max_streams"}

    def test_limits_of_streams_are_for_links_that_come_later(self) -> None:
        """Windows that share a memory are divided by the number of streams, so a peer keeps what it has."""

        def open_one() -> Deferred[Any]:
            keeping = Keeping()
            return streams_of(self.client).open(self.server.node_name, "ssh", keeping)

        self.reload(max_streams="1")
        self.assertEqual(self.server.settings.max_streams, 1)
        for _ in range(2):
            self.net.result(open_one())
        self.reload(max_streams="1", deny=f'["{self.client.node_name}"]')
        self.net.run(lambda: not self.server.status()["links"])
        self.reload(max_streams="1")
        self.net.run(lambda: self.server.status()["links"])
        self.net.result(open_one())
        failed: list[Any] = []
        open_one().addErrback(failed.append)
        self.net.run(lambda: failed)
        self.assertIs(failed[0].value.reason, StreamReason.TOO_MANY)


class FailureTests(LiveCase):
    def test_error_names_file_line_and_key(self) -> None:
        said = self.refused(ConfigurationError, max_links="9", deny='["nonsense"]')
        self.assertEqual(
            said,
            "deny: 'nonsense' is neither a name nor an address or network such as 192.0.2.0/24 "
            f"(in {self.path}, line 5)",
        )
        for value in ('"loud"', "3"):
            self.assertIn(f"(in {self.path}, line 4)", self.refused(ConfigurationError, log_level=value))

    def test_port_that_is_taken_changes_nothing(self) -> None:
        self.taken.add("tcp:3")
        peer = self.client.node_name
        for gone in ('"tcp:1"', '"tcp:4"'):
            said = self.refused(
                CannotListen,
                max_links="9",
                forward=f'{{ {gone} = "{peer}/x", "tcp:2" = "{peer}/y", "tcp:3" = "{peer}/z" }}',
            )
            self.assertIn("cannot listen on tcp:3: Address already in use: stop", said)

    def test_protocol_that_a_program_offers_changes_nothing(self) -> None:
        port = streams_of(self.server).listen("web", Keeping())
        said = self.refused(
            CannotListen,
            expose='{ ssh = "tcp:localhost:22", web = "tcp:localhost:80" }',
            forward=f'{{ "tcp:1" = "{self.client.node_name}/x", "tcp:2" = "{self.client.node_name}/y" }}',
        )
        self.assertIn("web is exposed already, by a program on this machine", said)
        port.stopListening()

    def test_file_that_vanishes_changes_nothing_and_is_read_when_it_is_back(self) -> None:
        before = self.facts()
        self.path.unlink()
        self.live.reload_logged()
        self.assertEqual(self.facts(), before)
        self.assertEqual(
            self.lines[-1],
            f"not reloaded, and nothing has changed: config: the file {self.path} cannot be read: "
            "No such file or directory",
        )
        self.assertEqual(self.reload(max_links="9").changed, ("max_links: 256 -> 9",))

    def test_reload_after_the_stop_is_refused(self) -> None:
        self.live.stop()
        self.failureResultOf(self.live.reload(), ServiceStopped)

    @hypothesis_settings(max_examples=80, deadline=None)
    @given(st.data())
    def test_torn_or_hostile_file_is_never_applied_in_part(self, data: st.DataObject) -> None:
        peer = self.client.node_name
        whole = self.text(
            forward=f'{{ "tcp:1" = "{peer}/x", "tcp:2" = "{peer}/y" }}', max_links="9", log_level='"warn"'
        )
        text = data.draw(
            st.one_of(
                st.integers(0, len(whole)).map(lambda end: whole[:end]),
                st.text(max_size=40).map(lambda more: whole + more),
                st.text(max_size=200),
                st.tuples(st.integers(0, len(whole)), st.characters()).map(
                    lambda at: whole[: at[0]] + at[1] + whole[at[0] + 1 :]
                ),
            )
        )
        before = self.facts()
        self.path.write_bytes(text.encode("utf-8", "surrogatepass"))
        results: list[Any] = []
        self.live.reload().addBoth(results.append)
        self.net.settle(1)
        (result,) = results
        if isinstance(result, ChangeOutcome):
            self.assertEqual(self.live.settings, self.live.configuration.settings)
            wanted = self.live.source.read()
            self.assertEqual(self.live.settings.forward, wanted.settings.forward)
            self.assertEqual(self.live.settings.max_links, wanted.settings.max_links)
        else:
            self.assertEqual(self.facts(), before)
        self.write(self.text())
        self.live.reload()


class OrderTests(LiveCase):
    def test_burst_is_one_reload_and_all_who_asked_hear_of_it(self) -> None:
        opened: Deferred[None] = Deferred()
        self.listening_slowly(opened)
        peer = self.client.node_name
        self.write(self.text(forward=f'{{ "tcp:1" = "{peer}/x", "tcp:2" = "{peer}/y" }}'))
        first = self.live.reload()
        # during the first: these are one more, which reads the file as it is then
        later = [self.live.reload() for _ in range(5)]
        self.write(self.text(max_links="9"))
        self.assertNoResult(first)
        opened.callback(None)
        self.assertEqual(self.outcome(first).changed, (f"forward: tcp:2={peer}/y added",))
        outcomes = [self.outcome(each) for each in later]
        self.assertEqual(set(outcomes), {outcomes[0]})
        self.assertEqual(outcomes[0].changed, (f"forward: tcp:2={peer}/y removed", "max_links: 256 -> 9"))

    def test_bug_in_a_reload_is_told_to_all_who_wait_and_the_next_one_runs(self) -> None:
        def broken(settings: object) -> None:
            raise ZeroDivisionError

        with patch.object(self.live._programs, "prepare", broken):
            self.failureResultOf(self.live.reload(), ZeroDivisionError)
        self.assertEqual(self.reload(max_links="9").changed, ("max_links: 256 -> 9",))

    def test_stop_during_a_reload_closes_what_it_has_opened(self) -> None:
        opened: Deferred[None] = Deferred()
        self.listening_slowly(opened)
        peer = self.client.node_name
        self.write(self.text(forward=f'{{ "tcp:1" = "{peer}/x", "tcp:2" = "{peer}/y" }}'))
        reload = self.live.reload()
        self.live.stop()
        opened.callback(None)
        self.failureResultOf(reload, ServiceStopped)
        self.assertIsNone(self.ports["tcp:2"].factory)

    def listening_slowly(self, opened: Deferred[None]) -> None:
        def slow(reactor: Any, setting: str, text: str) -> Port:
            port = self.listening(reactor, setting, text)
            port.waiting = opened
            return port

        self.patch(carrying, "listening_endpoint", slow)

    def test_what_was_added_stays_over_a_reload_until_it_is_removed(self) -> None:
        entry = f"tcp:7={self.client.node_name}/x"
        self.outcome(self.live.change(lambda now: adding(now, "forward", entry)))
        self.outcome(self.live.change(lambda now: adding(now, "expose", "web=tcp:localhost:80", ("*",))))
        outcome = self.reload(max_links="9")
        self.assertEqual(outcome.changed, ("max_links: 256 -> 9",))
        self.assertEqual(streams_of(self.server).protocols, ["ssh", "web"])
        self.outcome(self.live.change(lambda now: removing(now, "forward", "7")))
        self.outcome(self.live.change(lambda now: removing(now, "expose", "web")))
        self.assertEqual(self.reload(max_links="9").changed, ())
        self.assertEqual(streams_of(self.server).protocols, ["ssh"])

    def test_where_the_file_says_something_else_the_file_counts(self) -> None:
        self.outcome(self.live.change(lambda now: adding(now, "expose", "web=tcp:localhost:80", ("*",))))
        self.reload(expose='{ ssh = "tcp:localhost:22", web = "tcp:localhost:81" }')
        self.assertEqual([each.target for each in self.live.settings.expose][1], "tcp:localhost:81")

    def test_what_was_removed_is_back_with_a_reload(self) -> None:
        self.outcome(self.live.change(lambda now: removing(now, "expose", "ssh")))
        self.assertEqual(streams_of(self.server).protocols, [])
        self.reload()
        self.assertEqual(streams_of(self.server).protocols, ["ssh"])
