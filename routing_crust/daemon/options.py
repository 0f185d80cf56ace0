"""
The options of C{twistd routing-node}, made from the table of settings: each setting there becomes an option,
with its help and its valid range.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.python import usage

from .. import __version__
from ..config import Settings
from ..parsing import unknown_setting
from .live.source import Configuration, SettingsSource
from .logs import LEVELS, LogFormat, LogStyle
from .members.networks_here import settings_path
from .option_help import (
    MAX_DEMO_NODES,
    MIN_DEMO_NODES,
    advanced_settings_text,
    option_name,
    plain_settings,
    usage_text,
)
from .settings_file import SETTINGS


class Options(usage.Options):
    """
    The command line. L{settings} parses the values. What is said of each is in
    L{routing_crust.daemon.option_help}.

    @ivar given: the settings of the command line, raw.
    @ivar demo: the number of nodes of a demonstration; 0 without one.
    @ivar demo_seconds: how long it runs; C{None} is until it is interrupted.
    @ivar of_daemon: the other options that the settings file may hold, too; raw.
    @ivar log_style: what the command line says of what is logged, and how.
    """

    synopsis = "[options]"

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self._failed = False
        self.given: dict[str, Any] = {}
        self.of_daemon: dict[str, object] = {}
        self.config: Path | None = None
        self.demo = 0
        self.demo_seconds: float | None = None
        self.log_style = LogStyle()

    def opt_first(self) -> None:
        self._give_role("first")

    def opt_client(self) -> None:
        self._give_role("client")

    def opt_config(self, path: str) -> None:
        self.config = Path(path)

    def opt_set(self, text: str) -> None:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise usage.UsageError(f"--set {text}: write --set name=value")
        if name not in SETTINGS:
            raise usage.UsageError(f"--set {name}: {unknown_setting(name, SETTINGS)}")
        if isinstance(SETTINGS[name].default, tuple):
            raise usage.UsageError(f"--set {name}: this is a list; use --{option_name(name)}, once for each")
        self.given[name] = value.strip()

    def opt_demo(self, text: str) -> None:
        # nine digits at most: from 4,300 on int() itself refuses them, with a text about a limit of Python
        if not text.isascii() or not text.isdigit() or not MIN_DEMO_NODES <= int(text[:9]) <= MAX_DEMO_NODES:
            raise usage.UsageError(f"--demo {text}: valid is {MIN_DEMO_NODES} to {MAX_DEMO_NODES}")
        self.demo = int(text)

    def opt_demo_seconds(self, text: str) -> None:
        try:
            self.demo_seconds = float(text)
        except ValueError:
            self.demo_seconds = 0
        # so that NaN is refused, too
        if not 1 <= self.demo_seconds <= 86400:
            raise usage.UsageError(f"--demo-seconds {text}: valid is 1 to 86400 s")

    def opt_log_level(self, text: str) -> None:
        if text not in LEVELS:
            raise usage.UsageError(f"--log-level {text}: write one of {', '.join(LEVELS)}")
        self.log_style = replace(self.log_style, level=text)
        self.of_daemon["log_level"] = text

    def opt_log_format(self, text: str) -> None:
        try:
            self.log_style = replace(self.log_style, format=LogFormat(text))
            self.of_daemon["log_format"] = text
        except ValueError:
            raise usage.UsageError(f"--log-format {text}: write text or json") from None

    def opt_drain(self, text: str) -> None:
        self.of_daemon["drain"] = text

    def opt_local_proxy(self, text: str) -> None:
        self.of_daemon["local_proxy"] = text

    def opt_status_page(self, text: str) -> None:
        self.of_daemon["status_page"] = text

    def opt_help_settings(self) -> None:
        """Print the other settings, and exit."""
        sys.stdout.write(advanced_settings_text())
        sys.exit(0)

    def opt_version(self) -> None:
        """Print the version of this package, not Twisted's, and exit."""
        sys.stdout.write(f"routing-crust {__version__}\n")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line, whose errors L{getUsage} is to know of."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError:
            self._failed = True  # twistd prints the usage first: all the options would hide the error
            raise

    def postOptions(self) -> None:
        """
        Check the options against each other.

        @raise UsageError: they contradict each other.
        """
        if self.demo_seconds is not None and not self.demo:
            raise usage.UsageError("--demo-seconds: give --demo too")
        if self.demo and (self.given or self.config is not None):
            raise usage.UsageError("--demo: takes no settings; its nodes are on loopback, with the defaults")

    def settings(self) -> tuple[Settings, Path]:
        """
        Read the file, if one is given, and merge everything.

        @return: the settings, and the state directory, which is one of them.
        @raise ConfigurationError: a value cannot be used.
        """
        settings = self.configuration().settings
        assert settings.state_dir is not None
        return settings, settings.state_dir

    def source(self) -> SettingsSource:
        """
        Where the settings are from.

        @raise ConfigurationError: there are several files to choose from.
        """
        config = settings_path(self.given, self.config)
        # twistd may change the working directory before anything is opened
        return SettingsSource(self.given, self.of_daemon, None if config is None else config.absolute())

    def configuration(self) -> Configuration:
        """
        Read the file, if one is given, and merge everything.

        @raise ConfigurationError: a value cannot be used.
        """
        return self.source().read()

    def status_page(self) -> str:
        """
        Where the status page is to be, as a string for an endpoint; empty for none.

        @raise ConfigurationError: the file cannot be read.
        """
        return self.configuration().status_page

    def getUsage(self, width: int | None = None) -> str:
        """The options in groups, each with its default; after an error where they are explained."""
        if self._failed:
            return "'twistd routing-node --help' explains the options.\n"
        return usage_text(min(width or 80, 100))

    def _give_role(self, role: str) -> None:
        # --first --client: neither can be meant
        if self.given.get("role", role) != role:
            raise usage.UsageError(f"--{role}: the role is {self.given['role']} already; give one of them")
        self.given["role"] = role


def _add_options() -> None:
    """Add a method to L{Options} for each plain setting: Twisted makes an option of each C{opt_} method."""
    for each in plain_settings():
        method = option_name(each.name).replace("-", "_")
        if f"opt_{method}" in vars(Options):
            continue
        if isinstance(each.default, bool):
            setattr(Options, f"opt_{method}", _flag(each.name, True))
            setattr(Options, f"opt_no_{method}", _flag(each.name, False))
        elif each.name == "role":
            setattr(Options, f"opt_{method}", Options._give_role)
        elif isinstance(each.default, tuple):
            setattr(Options, f"opt_{method}", _one_more(each.name))
        else:
            setattr(Options, f"opt_{method}", _parameter(each.name))


def _flag(setting: str, value: bool) -> Callable[[Options], None]:
    def option(self: Options) -> None:
        self.given[setting] = value

    return option


def _parameter(setting: str) -> Callable[[Options, str], None]:
    def option(self: Options, text: str) -> None:
        self.given[setting] = text

    return option


def _one_more(setting: str) -> Callable[[Options, str], None]:
    def option(self: Options, text: str) -> None:
        self.given.setdefault(setting, []).append(text)

    return option


_add_options()
