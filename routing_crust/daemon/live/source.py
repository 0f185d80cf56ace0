"""
Where a daemon has its settings from: the command line, and a file that may be read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ...config import Settings
from ...errors import ConfigurationError
from ...forwarding_rules import parse_keep
from ...limits import MAX_DRAIN_SECONDS
from ...parsing import DAEMON_KEYS, read_file
from ...plain_errors import InvalidPairing
from ..logs import LEVELS, LogFormat, LogStyle
from ..members.networks_here import settings_path
from ..settings_file import SETTINGS, located, merge_settings
from ..state_directory import default_state_dir

_NOTHING: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    All that a daemon is told.

    @ivar settings: those of its node, with C{state_dir} given.
    @ivar log_style: what is logged, and how.
    @ivar drain: for how many seconds streams may go on when it is told to end.
    @ivar status_page: where its status page is, as a string for an endpoint; empty for none.
    @ivar local_proxy: where its proxy for programs is, likewise.
    @ivar given: the names of all that the file gives, in its order.
    """

    settings: Settings
    log_style: LogStyle = field(default_factory=LogStyle)
    status_page: str = ""
    drain: float = 0.0
    local_proxy: str = ""
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """
    The command line, and the file beside it.

    @ivar given: settings of the command line, raw; they go before those of the file.
    @ivar of_daemon: what the command line gives of L{DAEMON_KEYS}, raw; likewise.
    @ivar path: the settings file; C{None} if there was none when the daemon started.
    """

    given: Mapping[str, object] = field(default_factory=dict)
    of_daemon: Mapping[str, object] = field(default_factory=dict)
    path: Path | None = None

    def read(self) -> Configuration:
        """
        Read the file, and merge it with the command line.

        @raise ConfigurationError: the file or a value cannot be used; the error says where it is.
        """
        path = self.file
        in_file = _NOTHING if path is None else read_file(path, SETTINGS)
        settings = merge_settings(
            self.given, {key: each for key, each in in_file.items() if key not in DAEMON_KEYS}, path
        )
        state_dir = (settings.state_dir or default_state_dir(settings.network)).absolute()
        of_daemon = {key: in_file[key] for key in DAEMON_KEYS if key in in_file} | dict(self.of_daemon)
        try:
            style = LogStyle(_log_level(of_daemon), _log_format(of_daemon))
            page = _endpoint(of_daemon, "status_page", "tcp:8053")
            proxy = _endpoint(of_daemon, "local_proxy", "tcp:1080")
            drain = parse_drain(of_daemon.get("drain", 0))
        except ConfigurationError as error:
            # no line of the file is wrong
            if error.setting in self.of_daemon:
                raise
            raise located(error, path) from None
        return Configuration(
            replace(settings, state_dir=state_dir), style, page, drain, proxy, tuple(in_file)
        )

    @property
    def file(self) -> Path | None:
        """The file: one that was there at the start has to be there; another may have come since."""
        return self.path or settings_path(self.given, None)


def parse_drain(raw: object) -> float:
    """
    Read for how long streams may go on: seconds, or C{10s}, C{2m}.

    @raise ConfigurationError: it is no such time.
    """
    # TOML's true is an int to Python, and no number of seconds
    text = f"{raw:g}" if isinstance(raw, (int, float)) and not isinstance(raw, bool) else str(raw)
    try:
        seconds = parse_keep(text)
    except InvalidPairing:
        seconds = -1.0
    if not 0 <= seconds <= MAX_DRAIN_SECONDS:
        raise ConfigurationError("drain", f"{text!r} is not a time: write 0 to 3600 seconds, or 10s, 2m")
    return seconds


def _log_level(of_daemon: Mapping[str, Any]) -> str:
    level = of_daemon.get("log_level", LogStyle().level)
    if level not in LEVELS:
        raise ConfigurationError("log_level", f"{level!r} is no level: write one of {', '.join(LEVELS)}")
    return str(level)


def _log_format(of_daemon: Mapping[str, Any]) -> LogFormat:
    try:
        return LogFormat(of_daemon.get("log_format", LogFormat.TEXT))
    except ValueError:
        raise ConfigurationError(
            "log_format", f"{of_daemon['log_format']!r} is no format: write text or json"
        ) from None


def _endpoint(of_daemon: Mapping[str, Any], key: str, example: str) -> str:
    endpoint = of_daemon.get(key, "")
    if not isinstance(endpoint, str):
        raise ConfigurationError(key, f"{endpoint!r} is not a text, such as {example!r}")
    return endpoint
