"""
A log for people, for C{twistd -n --logger=routing_crust.daemon.logs.readable routing-node}: without
debugging, and in each line the time, the level where it is a warning or worse, and the text.
"""

from __future__ import annotations

import sys
from typing import TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatTime,
)


def readable(file: TextIO | None = None) -> ILogObserver:
    """
    Make the observer.

    @param file: the file to write to; C{None} is the standard output.
    """
    to_file = FileLogObserver(sys.stdout if file is None else file, _line)
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    # Twisted's own reports of ports that open and close say nothing that ours do not.
    predicate.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    return FilteringLogObserver(to_file, [predicate])


def _line(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    level = event.get("log_level", LogLevel.info)
    mark = "" if level is LogLevel.info else f"{level.name}: "
    return f"{formatTime(event['log_time'], '%Y-%m-%d %H:%M:%S')} {mark}{text}\n"
