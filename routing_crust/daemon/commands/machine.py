"""What C{init} and C{join} take from this machine and from their options."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ...config import Settings
from ...endpoints import Endpoint
from ...errors import ConfigurationError, InvalidEndpoint
from ...files import write_atomically
from ...forwarding_rules import is_nickname
from ...hosts.interfaces import Place
from ...parsing import parse_listen

T = TypeVar("T")


def own_nickname() -> str:
    """The name of this host, as far as it can be a nickname."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0]).lstrip("-_")[:32]
    return host if is_nickname(host) else "node"


def endpoints_of(options: argparse.Namespace) -> tuple[tuple[Place, ...], tuple[Endpoint, ...]]:
    """
    Where the node is to listen, and where others can dial it, as the options say.

    @raise ConfigurationError: they cannot be used.
    """
    listen = _parsed("listen", options.listen, parse_listen)
    external = _parsed("external", options.external, Endpoint.from_text)
    # refused here and not at the start of the node, when the files are written already
    Settings(external=external)
    if listen:
        Settings(listen=listen)
    return listen, external


def write_text(path: Path, text: str) -> None:
    """
    Write a file that only its owner reads.

    @raise OSError: it cannot be written.
    """
    write_atomically(path, text.encode("utf-8"))


def _parsed(setting: str, texts: Sequence[str], parse: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(map(parse, texts))
    except InvalidEndpoint as error:
        raise ConfigurationError(setting, str(error)) from None
