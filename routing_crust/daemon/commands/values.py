"""
Reads the values on the command line of the console script, before a daemon is needed.
"""

from __future__ import annotations

import argparse

from ...forwarding_rules import (
    EVERYONE,
    Exposure,
    is_nickname,
    is_protocol,
    is_tag,
    parse_keep,
    split_forward,
)
from ...names import Name, is_prefix
from ...plain_errors import InvalidName, InvalidPairing
from .piping import HOST_SUFFIX


def forward_text(text: str) -> tuple[str, str, str]:
    """The parts of C{ENDPOINT=NAME/PROTOCOL}."""
    try:
        listen, who, protocol = split_forward(text)
    except InvalidPairing as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return listen, node_name(who), protocol


def pipe_text(text: str) -> tuple[str, str]:
    """The parts of C{NAME/PROTOCOL}, whose name may end as a host's does."""
    who, _, given = text.rpartition("/")
    if not who:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME/PROTOCOL, such as laptop/ssh")
    return node_name(who.removesuffix(HOST_SUFFIX) or who), protocol(given)


def host_name(text: str) -> str:
    """A node, whose name may end as a host's does."""
    return node_name(text.removesuffix(HOST_SUFFIX) or text)


def protocol(text: str) -> str:
    """The name of a protocol."""
    if not is_protocol(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be the name of a protocol: write NAME/PROTOCOL, such as laptop/ssh"
        )
    return text


def keep(text: str) -> float:
    """For how long connections wait for another link."""
    try:
        return parse_keep(text)
    except InvalidPairing as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def exposure(text: str) -> Exposure:
    """A protocol and its program."""
    try:
        return Exposure.from_text(text)
    except InvalidPairing as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def allowed(text: str) -> str:
    """A name, a nickname, C{tag:TAG} or C{*}."""
    return text if text == EVERYONE or is_tag(text) else node_name(text)


def node_name(text: str) -> str:
    """A name, which is checked, or a nickname or beginning of a name: only the daemon knows whose that is."""
    if is_nickname(text) or is_prefix(text):
        return text
    try:
        return str(Name.from_text(text))
    except InvalidName as error:
        raise argparse.ArgumentTypeError(f"{error}; 'routing-crust name' prints that of a node") from None


def count(text: str) -> int:
    """How many, 1 or more."""
    # int() would take signs, underscores and other scripts' digits, and any length
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: write 1 or more")
    return number


def seconds(text: str) -> float:
    """A time."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # NaN is refused too: it is in no range
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 0.1 to 86400 seconds")
    return seconds
