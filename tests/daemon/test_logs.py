"""
What the daemon's log looks like, and where it goes.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import Application, MultiService
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon import logs
from routing_crust.daemon.logs import (
    FIELDS,
    LogFormat,
    LoggingService,
    LogStyle,
    is_journal,
    log_of_twistd,
    readable,
    styled,
)

from .fakes import ALICE, temporary_directory


class ReadableTests(SynchronousTestCase):
    """The log for people."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.publisher = LogPublisher(readable(self.out))
        self.log = Logger(namespace="somewhere", observer=self.publisher)

    def lines(self) -> list[str]:
        return [line[len("2026-01-01 00:00:00 ") :] for line in self.out.getvalue().splitlines()]

    def test_each_event_is_a_line_with_its_time(self) -> None:
        self.log.info("hello {name}", name="alice")
        self.assertRegex(self.out.getvalue(), r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d hello alice\n$")

    def test_levels_worth_a_look_are_named_and_debugging_is_left_out(self) -> None:
        for level in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical):
            self.log.emit(level, "x")
        self.assertEqual(self.lines(), ["x", "warn: x", "error: x", "critical: x"])

    def test_reports_of_twisteds_ports_are_left_out(self) -> None:
        old = legacy.LogPublisher(publishPublisher=self.publisher)
        old.msg("(TCP Port 1 Closed)")
        self.assertEqual(self.lines(), [])

    def test_what_twisted_says_of_itself_is_left_out_unless_it_is_a_warning(self) -> None:
        twisted = Logger(namespace="twisted.internet.base", observer=self.publisher)
        twisted.info("Main loop terminated.")
        twisted.warn("look here")
        self.assertEqual(self.lines(), ["warn: look here"])

    def test_an_event_without_text_is_no_line(self) -> None:
        self.log.info("")
        self.assertEqual(self.lines(), [])

    def test_a_failure_has_its_traceback(self) -> None:
        with self.log.failuresHandled("it failed"):
            raise ValueError("why")
        self.assertIn("critical: it failed", self.lines())
        self.assertIn("ValueError: why", self.out.getvalue())

    def test_the_standard_output_is_the_default(self) -> None:
        self.patch(sys, "stdout", self.out)
        Logger(namespace="x", observer=readable()).info("y")
        self.assertEqual(self.lines(), ["y"])


class StyleTests(SynchronousTestCase):
    """Levels, JSON, and the journal."""

    def logged(self, style: LogStyle, file: Any = None) -> tuple[Logger, io.StringIO]:
        out = file or io.StringIO()
        return Logger(namespace="somewhere", observer=LogPublisher(styled(style, out))), out

    def test_level_is_the_lowest_that_is_logged(self) -> None:
        for level, number in (("debug", 4), ("info", 3), ("warn", 2), ("error", 1)):
            log, out = self.logged(LogStyle(level))
            for each in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error):
                log.emit(each, "x")
            self.assertEqual(len(out.getvalue().splitlines()), number, level)

    def test_json_has_the_fields_of_an_event_in_one_line(self) -> None:
        log, out = self.logged(LogStyle(format=LogFormat.JSON))
        log.warn(
            "lost {peer}:\n{reason}", event="link lost", peer=ALICE, reason="gone", nickname=None, left_out=3
        )
        (line,) = out.getvalue().splitlines()
        found = json.loads(line)
        self.assertRegex(found.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            found,
            {
                "level": "warn",
                "source": "somewhere",
                "text": f"lost {ALICE}:\ngone",
                "event": "link lost",
                "peer": str(ALICE),
                "reason": "gone",
                "left_out": 3,
            },
        )

    def test_text_calls_nodes_as_people_do_and_fields_keep_their_names(self) -> None:
        for style in (LogStyle(), LogStyle(format=LogFormat.JSON)):
            out = io.StringIO()
            observer = styled(style, out)
            observer.describe_by(lambda name: f"alice ({name.short})")
            observer.restyle(style)
            Logger(namespace="somewhere", observer=observer).info("lost {peer}", peer=ALICE)
            self.assertIn(f"lost alice ({ALICE.short})", out.getvalue())
        self.assertEqual(json.loads(out.getvalue())["peer"], str(ALICE))

    def test_json_has_the_traceback_of_a_failure(self) -> None:
        log, out = self.logged(LogStyle(format=LogFormat.JSON))
        with log.failuresHandled("it failed"):
            raise ValueError("why")
        found = json.loads(out.getvalue())
        self.assertEqual((found["level"], found["text"]), ("critical", "it failed"))
        self.assertIn("ValueError: why", found["traceback"])

    def test_json_leaves_out_an_event_without_text(self) -> None:
        log, out = self.logged(LogStyle(format=LogFormat.JSON))
        log.info("")
        self.assertEqual(out.getvalue(), "")

    def test_every_field_is_explained_in_the_documentation(self) -> None:
        page = Path(__file__).resolve().parents[2] / "docs" / "logs.rst"
        if not page.exists():
            raise SkipTest("docs/logs.rst is not here: it is not installed")
        explained = re.findall(r"^   \* - ``(\w+)``$", page.read_text(encoding="utf-8"), re.MULTILINE)
        self.assertEqual(sorted(explained), sorted({*FIELDS, "time", "level", "source", "text", "traceback"}))

    def test_every_event_is_named_in_the_documentation(self) -> None:
        page = Path(__file__).resolve().parents[2] / "docs" / "logs.rst"
        if not page.exists():
            raise SkipTest("docs/logs.rst is not here: it is not installed")
        named = page.read_text(encoding="utf-8")
        for path in Path(logs.__file__).parent.rglob("*.py"):
            for event in re.findall(r'\bevent="([a-z ]+)"', path.read_text(encoding="utf-8")):
                self.assertIn(f"``{event}``", named, path)

    def test_the_journal_gets_levels_and_no_times(self) -> None:
        with (temporary_directory(self) / "journal").open("w+") as file:
            status = os.fstat(file.fileno())
            self.patch(os, "environ", {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
            log, _ = self.logged(LogStyle(), file)
            log.info("hello")
            log.warn("one\ntwo")
            file.seek(0)
            self.assertEqual(file.read(), "<6>hello\n<4>one\n<4>two\n")

    def test_a_file_that_is_not_the_journals_is_told_from_it(self) -> None:
        with (temporary_directory(self) / "log").open("w") as file:
            self.assertFalse(is_journal(file, {"JOURNAL_STREAM": "1:2"}))
            self.assertFalse(is_journal(file, {}))
        self.assertFalse(is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"}))


class Reactor:
    """Runs what a signal asks for at once."""

    def callFromThread(self, function: Any) -> None:
        function()


class TwistdTests(SynchronousTestCase):
    """What C{twistd} is told."""

    def test_twistd_gets_our_observer_with_the_application(self) -> None:
        service, application = LoggingService(), Application("x")
        observer = styled(LogStyle())
        service.make_observer = lambda: observer
        service.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), observer)  # type: ignore[attr-defined]
        self.assertEqual(service.describe_by, observer.describe_by)

    def test_without_an_observer_twistd_makes_its_own(self) -> None:
        service, application = LoggingService(), Application("x")
        service.setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver, None))  # type: ignore[attr-defined]

    def test_a_service_of_another_service_leaves_the_log_alone(self) -> None:
        service, parent = LoggingService(), MultiService()
        service.make_observer = lambda: self.fail("an observer was made")
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])

    def test_what_the_operator_tells_twistd_counts(self) -> None:
        for options in ({"logger": "some.observer"}, {"syslog": True}):
            self.assertIsNone(log_of_twistd(LogStyle(), options, Reactor()))

    def test_in_the_foreground_it_goes_to_the_standard_output(self) -> None:
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        for number, options in enumerate(({"nodaemon": True}, {"nodaemon": True, "logfile": "-"}), 1):
            make = log_of_twistd(LogStyle(), options, Reactor())
            assert make is not None
            Logger(namespace="x", observer=make()).info("y")
            self.assertEqual(len(out.getvalue().splitlines()), number)

    def test_a_daemon_writes_a_file_that_a_signal_rotates(self) -> None:
        path = temporary_directory(self) / "node.log"
        before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        make = log_of_twistd(LogStyle(), {"logfile": str(path)}, Reactor())
        assert make is not None
        log = Logger(namespace="x", observer=make())
        log.info("before")
        os.kill(os.getpid(), signal.SIGUSR1)
        log.info("after")
        self.assertIn("before", path.with_name("node.log.1").read_text())
        self.assertRegex(path.read_text(), r"^[\d: -]+ after\n$")
        # as logrotate does it
        path.rename(path.with_name("moved.log"))
        os.kill(os.getpid(), signal.SIGUSR1)
        log.info("after all")
        self.assertRegex(path.read_text(), r"^[\d: -]+ after all\n$")
