"""
Which daemon a command is for, what its body is, and how it prints: what all commands use.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..control.client import ControlClient
from ..members.networks_here import CONFIG_NAME, settings_path
from ..state_directory import DEFAULT_NETWORK, default_state_dir, socket_path
from ..text import printable

STATUS_TIMEOUT_SECONDS: Final = 10.0
"""The daemon answers most commands at once, if it answers."""


def state_dir_of(options: argparse.Namespace) -> Path:
    """
    The state directory that the options of a command name.

    @raise ConfigurationError: one of them, or the file that they name, cannot be used.
    """
    folder = options.state_dir
    if folder is None and options.config is None and options.network is None:
        found = settings_path({}, None)
        if found is not None:
            return found.parent
    if options.config is not None or options.network is not None or str(folder or "").startswith("~"):
        return _state_dir_in_settings(options)
    return Path(folder or default_state_dir(DEFAULT_NETWORK)).absolute()


def _state_dir_in_settings(options: argparse.Namespace) -> Path:
    # loads all that settings are made of, for which the other commands need not wait
    from ..settings_file import merge_settings, read_settings_file

    given = {
        name: str(value)
        for name, value in (("state_dir", options.state_dir), ("network", options.network))
        if value is not None
    }
    in_file = {} if options.config is None else read_settings_file(options.config)
    settings = merge_settings(given, in_file, options.config)
    return (settings.state_dir or default_state_dir(settings.network)).absolute()


def connect(options: argparse.Namespace) -> ControlClient:
    """
    Connect to the daemon that the options of a command name.

    @raise ClientError: it cannot be reached; the text says what to do.
    """
    state_dir = state_dir_of(options)
    begun = (state_dir / CONFIG_NAME).is_file() and options.config is None
    command = ["routing-crust start" if begun else "twistd routing-node"]
    for option in ("config", "network", "state_dir"):
        value = getattr(options, option)
        if value is not None:
            command.append(f"--{option.replace('_', '-')}={value}")
    return ControlClient(socket_path(state_dir), " ".join(command))


def body_of(text: str) -> bytes:
    """
    The body of a message, from the command line: bytes that are no UTF-8 go out as they came. C{-} is the
    standard input.
    """
    if text == "-":
        return sys.stdin.buffer.read()
    return text.encode("utf-8", "surrogateescape")


def print_line(line: str) -> None:
    """Print a line, at once: programs read this through a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_notes(notes: Iterable[str]) -> None:
    """Print what the operator should know besides, on the standard error: it is no result."""
    for note in notes:
        sys.stderr.write(f"routing-crust: {printable(note.encode())}\n")
