"""
The daemon's log: without debugging and without Twisted's own reports, a line for each thing that happens.

As text, a line has the time, the level where it is a warning or worse, and the text. Systemd's journal keeps
times and levels itself, so for it the level is written as it reads it, and no time. As JSON, a line is an
object with the fields in L{FIELDS} that have a value, besides C{time}, C{level}, C{source}, C{text} and
C{traceback}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from typing import Any, Final, TextIO, TypeAlias

from twisted.application.service import Service
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    formatTime,
)
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from ..names import Name

LEVELS: Final = ("debug", "info", "warn", "error")
FIELDS: Final = (
    "event",
    "name",
    "network",
    "role",
    "contact",
    "state",
    "peer",
    "nickname",
    "address",
    "direction",
    "use",
    "connection_type",
    "dialable",
    "nat",
    "protocol",
    "target",
    "where",
    "problem",
    "reason",
    "left_out",
)
"""The fields of a line in JSON that only some events have. The documentation explains each."""
_Named: TypeAlias = Callable[[LogEvent], LogEvent]
_JOURNAL_LEVELS: Final = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}


class LogFormat(str, Enum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogStyle:
    """
    What is logged, and how.

    @ivar level: the lowest of L{LEVELS} that is logged.
    """

    level: str = "info"
    format: LogFormat = LogFormat.TEXT


class LoggingService(Service):
    """
    A service that C{twistd} runs, and whose log it writes as the service wishes.

    @ivar make_observer: makes the observer; C{None} leaves the log to C{twistd}.
    @ivar restyle: has the log written in another style, where it is ours.
    @ivar describe_by: has names in the text of the log written by a function, where it is ours.
    """

    make_observer: Callable[[], ILogObserver] | None = None
    restyle: Callable[[LogStyle], object] = staticmethod(lambda style: None)
    describe_by: Callable[[Callable[[Name], str]], object] = staticmethod(lambda describe: None)

    def setServiceParent(self, parent: Any) -> None:
        """Begin to belong to an application, which hands the observer to C{twistd}."""
        if self.make_observer is not None and isinstance(parent, Componentized):
            observer = self.make_observer()
            parent.setComponent(ILogObserver, observer)
            if isinstance(observer, StyledLog):
                self.restyle, self.describe_by = observer.restyle, observer.describe_by
        Service.setServiceParent(self, parent)


def readable(file: TextIO | None = None) -> ILogObserver:
    """
    Make the observer of text with its defaults, for other programs: C{--logger} of C{twistd} takes it.

    @param file: the file to write to; C{None} is the standard output.
    """
    return styled(LogStyle(), file)


@implementer(ILogObserver)
class StyledLog:
    """An observer whose style can be changed."""

    def __init__(self, style: LogStyle, file: TextIO) -> None:
        self._file = file
        self._describe: Callable[[Name], str] = str
        self.restyle(style)

    def restyle(self, style: LogStyle) -> None:
        """Write in another style from now on."""
        self._write = _observer(style, self._file, self._named)

    def describe_by(self, describe: Callable[[Name], str]) -> None:
        """Write names in the text by this function: what people call nodes is known once a node is there."""
        self._describe = describe

    def _named(self, event: LogEvent) -> LogEvent:
        return {
            key: self._describe(value) if isinstance(value, Name) else value for key, value in event.items()
        }

    def __call__(self, event: LogEvent) -> None:
        """Write an event, if it matters enough."""
        self._write(event)


def styled(style: LogStyle, file: TextIO | None = None) -> StyledLog:
    """
    Make an observer.

    @param file: the file to write to; C{None} is the standard output.
    """
    return StyledLog(style, sys.stdout if file is None else file)


def _observer(style: LogStyle, file: TextIO, named: _Named) -> ILogObserver:
    """
    @param named: puts what people call nodes in the place of their names.
    """
    if style.format is LogFormat.JSON:
        # its fields keep the names
        write = partial(_json_line, named)
    elif is_journal(file, os.environ):
        write = partial(_journal_lines, named)
    else:
        write = partial(_text_line, named)
    level = LogLevel.lookupByName(style.level)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    # Twisted's own reports of ports that open and close say nothing that ours do not.
    for namespace in ("log_legacy", "twisted"):
        predicate.setLogLevelForNamespace(namespace, max(level, LogLevel.warn))
    return FilteringLogObserver(FileLogObserver(file, write), [predicate])


def log_of_twistd(
    style: LogStyle, options: Mapping[str, Any], reactor: Any
) -> Callable[[], ILogObserver] | None:
    """
    What makes the observer that C{twistd} would make, in our style.

    @param options: those of C{twistd}.
    @return: C{None} if they name an observer, or the system's log.
    """
    # the operator has chosen
    if options.get("logger") or options.get("syslog"):
        return None
    name = options.get("logfile") or ("" if options.get("nodaemon") else "twistd.log")
    if name in ("", "-"):
        return partial(styled, style)
    return lambda: styled(style, _log_file(str(name), reactor))


def is_journal(file: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether systemd's journal reads a file: the environment has the file's device and number then."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):  # not all that can be written to has a descriptor
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _log_file(name: str, reactor: Any) -> Any:
    file = LogFile.fromFullPath(name)
    # an application that embeds the plugin may use the signal for its own ends
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(partial(begin_new_file, file)))
    return file


def begin_new_file(file: LogFile) -> None:
    """
    Go on in a new file. The old one is renamed, unless another program such as C{logrotate} has moved it
    already: C{rotate} of Twisted would go on in the moved one then.
    """
    try:
        is_there = os.path.samestat(os.fstat(file._file.fileno()), os.stat(file.path))
    except OSError:
        is_there = False
    if is_there:
        file.rotate()
    else:
        file.reopen()


def _text(named: _Named, event: LogEvent) -> str:
    return eventAsText(named(event), includeTimestamp=False, includeSystem=False)


def _level(event: LogEvent) -> str:
    return str(event.get("log_level", LogLevel.info).name)


def _text_line(named: _Named, event: LogEvent) -> str | None:
    text, level = _text(named, event), _level(event)
    mark = "" if level == "info" else f"{level}: "
    return f"{formatTime(event['log_time'], '%Y-%m-%d %H:%M:%S')} {mark}{text}\n" if text else None


def _journal_lines(named: _Named, event: LogEvent) -> str | None:
    text, level = _text(named, event), _level(event)
    # each line of a traceback would be an entry of its own, without a level
    return "".join(f"<{_JOURNAL_LEVELS[level]}>{line}\n" for line in text.splitlines()) or None


def _json_line(named: _Named, event: LogEvent) -> str | None:
    text = formatEvent(named(event))
    failure = event.get("log_failure")
    if not text and failure is None:
        return None
    moment = datetime.fromtimestamp(event["log_time"], timezone.utc)
    line = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _level(event),
        "source": event.get("log_namespace", ""),
        "text": text,
        **{key: _plain(event[key]) for key in FIELDS if event.get(key) not in (None, "")},
    }
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    return json.dumps(line) + "\n"


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, float)) else str(value)
