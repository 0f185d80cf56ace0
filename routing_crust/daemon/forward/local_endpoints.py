"""
Reads the strings of Twisted's endpoints as an operator writes them: where a local program listens, and where
to listen for local programs.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from ...errors import ConfigurationError

_ADVICE: Final = {
    errno.EACCES: ": ports below 1024 need a permission that the daemon does not have: take a higher one",
    errno.EADDRINUSE: ": stop the program that has it, or take another port",
}
_LOOPBACK: Final = {
    "tcp": "127.0.0.1",
    "tcp6": r"\:\:1",
    "ssl": "127.0.0.1",
    "udp": "127.0.0.1",
    "udp6": r"\:\:1",
}
_COLON: Final = re.compile(r"(?<!\\):")
_NUMBER: Final = re.compile(r"(?<!\\):(?:port=)?(\d+)(?=:|$)")
_WITH_PORTS: Final = ("tcp:", "tcp6:", "ssl:", "tls:")
_HIGHEST_PORT: Final = 65535
_MISSING: Final = re.compile(r"missing \d+ required positional arguments?: '(\w+)'")
_NO_NUMBER: Final = re.compile(r"invalid literal for int\(\) with base 10: ('.*')")


def listening_problem(text: str, error: BaseException | None) -> str:
    """
    Why nothing can listen there, in the words of the system, and what to do.

    @param text: the string of the endpoint.
    @param error: what C{listen} has failed with.
    """
    # without the address that Twisted's text repeats
    problem = getattr(error, "socketError", error)
    # a UNIX socket has no port, but a path that may be another's
    advice = "" if text.lower().startswith("unix") else _ADVICE.get(getattr(problem, "errno", None) or 0, "")
    return f"{getattr(problem, 'strerror', None) or problem}{advice}"


def target_endpoint(reactor: Any, setting: str, text: str) -> IStreamClientEndpoint:
    """
    Make a client endpoint.

    @param setting: the setting that an error names.
    @raise ConfigurationError: C{clientFromString} makes none of the text.
    """
    endpoint: IStreamClientEndpoint = _made(
        clientFromString, reactor, setting, text, "connect to, such as tcp:localhost:22"
    )
    return endpoint


def listening_endpoint(reactor: Any, setting: str, text: str) -> IStreamServerEndpoint:
    """
    Make a server endpoint, on loopback if the text names no interface.

    @param setting: the setting that an error names.
    @raise ConfigurationError: C{serverFromString} makes none of the text.
    """
    # a forwarded port gives its user our rights at the peer, so it is not for other hosts
    description = on_loopback(text)
    endpoint: IStreamServerEndpoint = _made(
        serverFromString, reactor, setting, description, "listen on, such as tcp:2222"
    )
    return endpoint


def on_loopback(text: str) -> str:
    """
    Add the loopback interface to the text of a TCP or UDP port without an interface; a TCP port may be a mere
    number. C{tcp:2222:interface=0.0.0.0} listens for other hosts too.
    """
    text = f"tcp:{text}" if text.isascii() and text.isdigit() else text
    kind, *parts = _COLON.split(text)
    interface = _LOOPBACK.get(kind.lower())
    # tcp:PORT:INTERFACE is Twisted's short form
    given = any(each.startswith("interface=") for each in parts)
    if interface is None or given or (kind.lower() == "tcp" and len([p for p in parts if "=" not in p]) > 1):
        return text
    return f"{text}:interface={interface}"


def _made(make: Callable[[Any, str], Any], reactor: Any, setting: str, text: str, what_for: str) -> Any:
    try:
        made = make(reactor, text)
    except Exception as error:  # parsers are plugins, and may raise anything
        problem = _problem_in_words(error)
        raise ConfigurationError(setting, f"{text!r} is no endpoint to {what_for} ({problem})") from None
    # Twisted takes any number, and the first connection would fail
    numbers = _NUMBER.findall(text) if text.lower().startswith(_WITH_PORTS) else ()
    for number in numbers:
        if int(number) > _HIGHEST_PORT:
            problem = f"{number} is no port: they go from 1 to {_HIGHEST_PORT}"
            raise ConfigurationError(setting, f"{text!r} is no endpoint to {what_for} ({problem})")
    return made


def _problem_in_words(error: Exception) -> str:
    """What a parser of Twisted's has found, which says so in the words of Python."""
    missing = _MISSING.search(str(error))
    if missing:
        return f"the {missing[1]} is missing"
    no_number = _NO_NUMBER.search(str(error))
    if no_number:
        return f"{no_number[1]} is not a number"
    return f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
