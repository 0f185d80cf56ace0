"""
What people call nodes: by name, by a nickname of the settings, by the nickname in a member's certificate, or
by the beginning of a name.

A nickname of our own settings goes before those of certificates. A beginning of a name is for people who
type: it stands for one of the nodes that we know, and keys can be made until they begin in the same way. So
nothing is granted to a beginning, and no rule is kept with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ...forwarding_rules import (
    EVERYONE,
    TAG_PREFIX,
    Nicknames,
    did_you_mean,
    is_nickname,
    is_tag,
    known_nickname,
    unknown_nickname,
)
from ...names import NAME_CHARACTERS, Name, is_prefix
from ...plain_errors import InvalidName
from ...trust.certificate import Certificate

MAX_CANDIDATES: Final = 5
"""Names that an error lists, where a text stands for several."""


class KnownMembers(Protocol):
    """The members of a private network, as far as we have heard of them."""

    @property
    def current(self) -> Iterable[Certificate]:
        """Their certificates and ours, without those that do not hold now."""
        ...

    def certificate_of(self, name: Name) -> Certificate | None:
        """The certificate of one of them, or of one who was."""
        ...

    def current_of(self, name: Name) -> Certificate | None:
        """The certificate of one of them, if it holds now."""
        ...


class PeerDirectory:
    """
    Made with a service, asked for names whenever a text stands for one.

    @ivar is_private: whether certificates may bring nicknames that are not known yet.
    """

    def __init__(
        self,
        nicknames: Nicknames,
        is_private: bool,
        known: Callable[[], Iterable[Name]],
        members: Callable[[], KnownMembers | None],
    ) -> None:
        """
        @param nicknames: those of the settings.
        @param known: the nodes that the beginning of a name may stand for.
        @param members: C{None} in an open network, and while the service does not run.
        """
        self.is_private = is_private
        self.change_nicknames(nicknames)
        self._known = known
        self._members = members

    def change_nicknames(self, nicknames: Nicknames) -> None:
        """Go by other nicknames of the settings from now on."""
        self._nicknames = nicknames
        self._of_settings = {name: nickname for nickname, name in nicknames.items()}

    def name_of(self, name: Name | str) -> Name:
        """
        The name that an application means: a name as it is, or what its text stands for now.

        @raise InvalidName: as L{find} does.
        @raise TypeError: it is neither a name nor text.
        """
        given = _checked(name)
        return given if isinstance(given, Name) else self.find(given)

    def find(self, text: str) -> Name:
        """
        The name that a text stands for now.

        @raise InvalidName: it stands for none, or for several, which the error lists.
        """
        # before prefixes: a nickname may look like the beginning of a name
        found = self._find_nickname(text)
        if found is not None:
            return found
        try:
            return Name.from_text(text)
        except InvalidName:
            if is_prefix(text):
                return self._find_prefix(text)
            if not is_nickname(text):
                raise
            raise self._nobody(text) from None

    def find_host(self, text: str) -> Name | None:
        """
        As L{find}, but a nickname may be written in capitals or not, as the names of hosts are.

        @return: C{None} if it stands for none, or for several.
        """
        # no error is made: its text takes a comparison with all nicknames, and programs ask for any host
        own = self._nicknames.get(text)
        # nothing is called by more characters than a name has
        if own is not None or len(text) > NAME_CHARACTERS:
            return own
        members = self._members()
        known = [(name, each) for each, name in self._nicknames.items()]
        known += [] if members is None else [(each.name, each.nickname) for each in members.current]
        exact = {name for name, nickname in known if nickname == text}
        if exact:
            return exact.pop() if len(exact) == 1 else None
        try:
            return Name.from_text(text)
        except InvalidName:
            begun = self._begun_by(text) if is_prefix(text) else []
        if len(begun) == 1:
            return begun[0]
        wanted = text.lower()
        found = {name for name, nickname in known if nickname.lower() == wanted}
        # of two that differ in capitals alone none can be meant
        return found.pop() if len(found) == 1 else None

    def nickname_of(self, name: Name) -> str:
        """What people call a node; empty if it has no nickname."""
        nickname = self._of_settings.get(name)
        if nickname is not None:
            return nickname
        members = self._members()
        certificate = None if members is None else members.certificate_of(name)
        return "" if certificate is None else certificate.nickname

    def certificate_of(self, name: Name) -> Certificate | None:
        """The certificate of a member, if we have heard of it and it is one still."""
        members = self._members()
        return None if members is None else members.current_of(name)

    def describe(self, name: Name) -> str:
        """The nickname with the beginning of the name; the whole name, if there is no nickname."""
        return self.brief(name) if self.nickname_of(name) else str(name)

    def brief(self, name: Name) -> str:
        """The nickname with the beginning of the name; the beginning alone, if there is no nickname."""
        nickname = self.nickname_of(name)
        return f"{nickname} ({name.short})" if nickname else name.short

    def allowance(self, whom: Iterable[Name | str]) -> Allowance:
        """
        Who is meant by names, nicknames, C{tag:TAG} and C{*}.

        @raise InvalidName: one of them stands for nobody, or is the beginning of a name.
        @raise TypeError: one of them is neither a name nor text.
        """
        return Allowance(self, [self._granted(_checked(each)) for each in whom])

    def _granted(self, who: Name | str) -> Name | str:
        if isinstance(who, Name) or who == EVERYONE or is_tag(who):
            return who
        own = self._nicknames.get(who)
        if own is not None:
            return own
        if is_nickname(who) and self.is_private:
            return who
        try:
            return Name.from_text(who)
        except InvalidName as error:
            if is_prefix(who):
                raise InvalidName(
                    f"{error}; give the whole name: others can have one that begins so"
                ) from None
            if not is_nickname(who):
                raise
            raise self._nobody(who) from None

    def _find_nickname(self, text: str) -> Name | None:
        own = self._nicknames.get(text)
        # what the operator has written down goes before what certificates say
        if own is not None or not is_nickname(text):
            return own
        found = self._holders(text)
        if len(found) > 1:
            listed = ", ".join(sorted(map(str, found))[:MAX_CANDIDATES])
            raise InvalidName(f"{len(found)} members have the nickname {text!r}: write the name ({listed})")
        return found[0] if found else None

    def _holders(self, nickname: str) -> list[Name]:
        """The members with this nickname."""
        members = self._members()
        current = () if members is None else members.current
        return [each.name for each in current if each.nickname == nickname]

    def has_alone(self, certificate: Certificate) -> bool:
        """Whether no other member has the nickname of this one."""
        return self._holders(certificate.nickname) == [certificate.name]

    def _find_prefix(self, text: str) -> Name:
        found = self._begun_by(text)
        if len(found) == 1:
            return found[0]
        if not found:
            raise InvalidName(
                f"no node is known whose name begins with {text!r}, nor is it a "
                f"{known_nickname(self.is_private)}"
                f"{self.suggestion(text)}"
            )
        listed = ", ".join(self._candidate(each) for each in found[:MAX_CANDIDATES])
        raise InvalidName(f"{text!r} is the beginning of {len(found)} names: write more of it ({listed})")

    def _begun_by(self, text: str) -> list[Name]:
        """The nodes that we know whose names begin like this."""
        beginning = text.lower()
        return sorted({each for each in self._known() if str(each).startswith(beginning)})

    def _candidate(self, name: Name) -> str:
        nickname = self.nickname_of(name)
        return f"{name}, {nickname}" if nickname else str(name)

    def is_met(self, nickname: str) -> bool:
        """Whether a known member has this nickname."""
        return bool(self._holders(nickname))

    def is_met_tag(self, tag: str) -> bool:
        """Whether a known member has this tag."""
        members = self._members()
        return members is not None and any(tag in each.tags for each in members.current)

    def suggestion(self, text: str) -> str:
        """What to add to an error about a text: the nicknames that are like it."""
        return did_you_mean(text, self._all_nicknames())

    def _nobody(self, text: str) -> InvalidName:
        return unknown_nickname(text, self._all_nicknames(), self.is_private)

    def _all_nicknames(self) -> list[str]:
        members = self._members()
        return [*self._nicknames, *(each.nickname for each in (() if members is None else members.current))]


def _checked(name: Name | str) -> Name | str:
    if isinstance(name, Name):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a name is a Name, or its text, and this is {type(name).__name__}")
    return name.strip()


class Allowance:
    """
    The peers that may have something. Nicknames and tags are those of the certificate that a peer has shown,
    so it is asked again each time.

    @ivar texts: who they are, as texts.
    """

    __slots__ = ("_directory", "_everyone", "_names", "_nicknames", "_tags", "texts")

    def __init__(self, directory: PeerDirectory, whom: list[Name | str]) -> None:
        self._directory = directory
        words = [each for each in whom if isinstance(each, str)]
        self._names = frozenset(each for each in whom if isinstance(each, Name))
        self._everyone = EVERYONE in words
        self.texts = (EVERYONE,) if self._everyone else tuple(str(each) for each in whom)
        self._tags = frozenset(each.removeprefix(TAG_PREFIX) for each in words if is_tag(each))
        self._nicknames = frozenset(each for each in words if is_nickname(each))

    def __call__(self, name: Name) -> bool:
        """Whether this peer may."""
        if self._everyone or name in self._names:
            return True
        if not (self._tags or self._nicknames):
            return False
        certificate = self._directory.certificate_of(name)
        if certificate is None:
            return False
        if not self._tags.isdisjoint(certificate.tags):
            return True
        # two admins who do not hear of each other may have given it twice: then it opens nothing
        return certificate.nickname in self._nicknames and self._directory.has_alone(certificate)

    def unmet_nicknames(self) -> list[tuple[str, str]]:
        """The nicknames that no known member has, each with what to say of those that are like it."""
        unmet = sorted(each for each in self._nicknames if not self._directory.is_met(each))
        return [(each, self._directory.suggestion(each)) for each in unmet]

    def unmet_tags(self) -> list[str]:
        """The tags that no known member has."""
        return sorted(each for each in self._tags if not self._directory.is_met_tag(each))
