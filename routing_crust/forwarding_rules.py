"""
Settings that are pairs: nicknames of names, exposed protocols with their local programs, permissions of
peers, and local ports that are forwarded to the protocols of peers.

Each is one text with an equals sign, on the command line and in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from .limits import MAX_KEEP_SECONDS
from .names import NAME_CHARACTERS, Name
from .plain_errors import InvalidName, InvalidPairing

MAX_PROTOCOL_CHARACTERS: Final = 64
"""Characters in the name of a protocol; they bound the frame that opens a stream."""
EVERYONE: Final = "*"
"""Stands for every node of the network."""
DATAGRAMS: Final = "+udp"
"""What follows the name of a protocol over UDP when a stream with its datagrams is opened."""
TAG_PREFIX: Final = "tag:"
"""What stands before a tag, which means every member that has it in its certificate."""
MAX_SUGGESTIONS: Final = 3
"""Words that are like one that nobody knows."""
_PORT: Final = re.compile(r"\d{1,5}", re.ASCII)
# with a dot, since tcp:80 and unix:1 are endpoints of Twisted's and no hosts
_HOST_AND_PORT: Final = re.compile(r"(localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\.?):\d{1,5}", re.ASCII)
_PROTOCOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_NICKNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_TAG: Final = re.compile(r"tag:[A-Za-z0-9][A-Za-z0-9._-]{0,23}")
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_UNIT_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_UDP_TARGET: Final = re.compile("udp6?:", re.IGNORECASE)
_KEEP: Final = re.compile(r"(.*\S)\s+keep\s+(\S+)\s*", re.DOTALL)

Nicknames = Mapping[str, Name]


@dataclass(frozen=True, slots=True)
class Nickname:
    """
    An operator's own name for a node.

    @ivar nickname: up to 32 letters, digits and C{. _ -}, so that it cannot be mistaken for a name.
    @ivar name: the node's name.
    """

    nickname: str
    name: Name

    def __post_init__(self) -> None:
        """
        @raise InvalidPairing: the text cannot be a nickname.
        """
        if not is_nickname(self.nickname):
            raise InvalidPairing(
                f"{self.nickname!r} cannot be a nickname: write up to 32 letters, digits and . _ - and begin "
                "with a letter or digit"
            )

    @classmethod
    def from_text(cls, text: str) -> Nickname:
        """
        Read C{NICKNAME=NAME}.

        @raise InvalidPairing: it is not that.
        @raise InvalidName: what follows is not a name.
        """
        nickname, name = _split(text, "NICKNAME=NAME")
        return cls(nickname, Name.from_text(name))

    def __str__(self) -> str:
        return f"{self.nickname}={self.name}"


@dataclass(frozen=True, slots=True)
class Exposure:
    """
    A protocol that peers may use, and the local program that speaks it.

    @ivar protocol: what peers call it.
    @ivar target: the program's address, as a Twisted client endpoint string.
    @ivar keep: for how many seconds its connections may wait for another link at most; C{None} leaves it to
        the peers.
    """

    protocol: str
    target: str
    keep: float | None = None

    @property
    def is_udp(self) -> bool:
        """Whether its program speaks UDP."""
        return is_udp(self.target)

    @property
    def offered(self) -> str:
        """What its streams are called."""
        return stream_protocol(self.protocol, self.is_udp)

    @classmethod
    def from_text(cls, text: str) -> Exposure:
        """
        Read C{PROTOCOL=ENDPOINT}, and C{keep TIME} after it if there is one; see L{target_text}.

        @raise InvalidPairing: it is not that. The endpoint is not looked at.
        """
        pair, keep = _split_keep(text)
        protocol, target = _split(pair, "PROTOCOL=ENDPOINT, such as ssh=tcp:localhost:22")
        return cls(_protocol(protocol), target_text(target), keep)

    def __str__(self) -> str:
        return f"{self.protocol}={self.target}{_keep_text(self.keep)}"


@dataclass(frozen=True, slots=True)
class Permission:
    """
    A peer's permission to use a protocol.

    @ivar protocol: what peers call it.
    @ivar name: the one peer; its nickname, where only its certificate tells; C{tag:TAG}; or C{None} for
        every node of the network.
    """

    protocol: str
    name: Name | str | None

    @classmethod
    def from_text(cls, text: str, nicknames: Nicknames) -> Permission:
        """
        Read C{PROTOCOL=NAME}, with a nickname, C{tag:TAG} or C{*} in place of the name.

        @raise InvalidPairing: it is not that.
        @raise InvalidName: there is no such name and no such nickname.
        """
        protocol, who = _split(text, "PROTOCOL=NAME, or PROTOCOL=* for every node of the network")
        if who == EVERYONE:
            return cls(_protocol(protocol), None)
        return cls(_protocol(protocol), who if is_tag(who) else _resolve_later(who, nicknames))

    def __str__(self) -> str:
        return f"{self.protocol}={self.name or EVERYONE}"


@dataclass(frozen=True, slots=True)
class Forward:
    """
    A local listener, and the protocol of a peer that its connections are forwarded to.

    @ivar listen: where to listen, as a Twisted server endpoint string.
    @ivar name: the peer, or its nickname, where only its certificate tells.
    @ivar protocol: what the peer calls it.
    @ivar keep: for how many seconds its connections may wait for another link; C{None} is
        C{stream_survival}.
    """

    listen: str
    name: Name | str
    protocol: str
    keep: float | None = None

    @property
    def is_udp(self) -> bool:
        """Whether it is a UDP port."""
        return is_udp(self.listen)

    @property
    def wanted(self) -> str:
        """What the streams are called that it opens."""
        return stream_protocol(self.protocol, self.is_udp)

    @classmethod
    def from_text(cls, text: str, nicknames: Nicknames) -> Forward:
        """
        Read C{ENDPOINT=NAME/PROTOCOL}, with a nickname in place of the name if there is one, and C{keep TIME}
        after it if there is one.

        @raise InvalidPairing: it is not that. The endpoint is not looked at.
        @raise InvalidName: there is no such name and no such nickname.
        """
        pair, keep = _split_keep(text)
        listen, who, protocol = split_forward(pair)
        return cls(listen, _resolve_later(who, nicknames), protocol, keep)

    def __str__(self) -> str:
        return f"{self.listen}={self.name}/{self.protocol}{_keep_text(self.keep)}"


def known(nicknames: Iterable[Nickname]) -> Nicknames:
    """Map nicknames to names."""
    return {each.nickname: each.name for each in nicknames}


def split_forward(text: str) -> tuple[str, str, str]:
    """
    The parts of C{ENDPOINT=NAME/PROTOCOL}.

    @raise InvalidPairing: it is not that. The endpoint and the name are not looked at.
    """
    # Split at the last equals sign: an endpoint may hold some itself, a name and a protocol cannot.
    listen, equals, rest = text.rpartition("=")
    who, slash, protocol = rest.partition("/")
    if not (listen.strip() and equals and slash and who.strip()):
        raise InvalidPairing(f"{text!r}: write ENDPOINT=NAME/PROTOCOL, such as tcp:2222=backup/ssh")
    return listen.strip(), who.strip(), _protocol(protocol.strip())


def parse_keep(text: str) -> float:
    """
    Read for how long connections may wait for another link: seconds, or C{90s}, C{10m}, C{1h}, C{2d}.

    @raise InvalidPairing: it is no such time, or is longer than C{MAX_KEEP_SECONDS}.
    """
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _UNIT_SECONDS[found[2]] if found else -1.0
    if not 0 <= seconds <= MAX_KEEP_SECONDS:
        raise InvalidPairing(
            f"{text!r} is not a time to keep connections for: write 0 to 604800 seconds, or 90s, 10m, 1h, 2d"
        )
    return seconds


def target_text(text: str) -> str:
    """
    The endpoint of a program, as Twisted reads it: a mere port is a TCP port of this machine, C{HOST:PORT} is
    one of that host.
    """
    if _PORT.fullmatch(text):
        return f"tcp:localhost:{text}"
    return f"tcp:{text}" if _HOST_AND_PORT.fullmatch(text) else text


def is_udp(endpoint: str) -> bool:
    """Whether this is the text of a UDP endpoint: C{udp:HOST:PORT} of a program, C{udp:PORT} of a port."""
    return _UDP_TARGET.match(endpoint) is not None


def stream_protocol(protocol: str, udp: bool) -> str:
    """What the streams of a protocol are called."""
    return f"{protocol}{DATAGRAMS}" if udp else protocol


def is_nickname(text: str) -> bool:
    """Whether the text has the form of a nickname."""
    return _NICKNAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether the text has the form C{tag:TAG}."""
    return _TAG.fullmatch(text) is not None


def is_protocol(text: str) -> bool:
    """Whether the text has the form of a protocol's name."""
    return len(text) <= MAX_PROTOCOL_CHARACTERS and _PROTOCOL.fullmatch(text) is not None


def unknown_nickname(text: str, known: Iterable[str], of_members: bool = False) -> InvalidName:
    """
    The error for a text that stands for nobody, with the nicknames that are like it.

    @param known: the nicknames that there are.
    @param of_members: whether certificates give nicknames as well as the settings.
    """
    there = list(known)
    hint = did_you_mean(text, there)
    if not (hint or of_members):
        hint = f" (nicknames: {', '.join(there) or 'none'})"
    return InvalidName(
        f"{text!r} is no {known_nickname(of_members)}, and no name, which has {NAME_CHARACTERS} characters"
        f"{hint}"
    )


def known_nickname(of_members: bool) -> str:
    """What a nickname is that stands for somebody."""
    return f"nickname that the setting nicknames {'or a member has' if of_members else 'gives'}"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """What to add to an error about a word: the known words that are like it, in capitals or not."""
    words = {each.lower(): each for each in known}
    near = get_close_matches(text.lower(), words, n=MAX_SUGGESTIONS)
    return f": did you mean {' or '.join(repr(words[each]) for each in near)}?" if near else ""


def _resolve_later(text: str, nicknames: Nicknames) -> Name | str:
    """
    The name that a text means: a nickname of the settings, or the text form of a name. Else the text itself,
    if it may be the nickname in a member's certificate.

    @raise InvalidName: it is none of them.
    """
    known = nicknames.get(text)
    if known is not None:
        return known
    # no text is both: a nickname is shorter than any name
    return text if is_nickname(text) else Name.from_text(text)


def _split_keep(text: str) -> tuple[str, float | None]:
    found = _KEEP.fullmatch(text)
    return (found[1], parse_keep(found[2])) if found else (text, None)


def _keep_text(keep: float | None) -> str:
    return "" if keep is None else f" keep {keep:g}s"


def _split(text: str, form: str) -> tuple[str, str]:
    left, equals, right = (each.strip() for each in text.partition("="))
    if not (left and equals and right):
        raise InvalidPairing(f"{text!r}: write {form}")
    return left, right


def _protocol(text: str) -> str:
    if not is_protocol(text):
        raise InvalidPairing(
            f"{text!r} cannot be the name of a protocol: write up to {MAX_PROTOCOL_CHARACTERS} letters, "
            "digits and . _ + - and begin with a letter or digit"
        )
    if text.endswith(DATAGRAMS) or len(text) > MAX_PROTOCOL_CHARACTERS - len(DATAGRAMS):
        raise InvalidPairing(
            f"{text!r} cannot be the name of a protocol here: leave out {DATAGRAMS} at its end, and write at "
            f"most {MAX_PROTOCOL_CHARACTERS - len(DATAGRAMS)} characters"
        )
    return text
