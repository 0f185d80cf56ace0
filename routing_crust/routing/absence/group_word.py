"""
The word of a close group: whether the nodes nearest to a name know of a node or client that has it.

Each of them would have a link with such a node, or the record of such a client, whose proxy is asked then.
One member that knows of it proves that it exists; that it does not takes the word of more than half of them.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError

from ...errors import NotConnected, RoutingCrustError
from ...names import Name
from ..membership.close_group_lookup import CloseGroupLookup
from ..membership.close_group_search import CloseGroupSearch
from ..membership.neighbourhood import Neighbourhood
from ..node import Node


@dataclass(slots=True)
class Word:
    """
    What was said.

    @ivar asked: the members of the group but us.
    @ivar denials: those of them that know of no such node.
    @ivar knows: those that do.
    @ivar alone: whether we have no network, or are the only node in it.
    """

    asked: frozenset[Name] = frozenset()
    denials: set[Name] = field(default_factory=set)
    knows: set[Name] = field(default_factory=set)
    alone: bool = False

    @property
    def is_denial(self) -> bool:
        """Whether there is no such node, by what they say."""
        return not self.knows and 2 * len(self.denials) > len(self.asked)

    @property
    def text(self) -> str:
        """The same in words."""
        asked, denials = len(self.asked), len(self.denials)
        if self.alone:
            return "there is no other node to ask for it"
        if not asked:
            return "nobody has said where it is"
        if self.knows:
            return f"{len(self.knows)} of the {asked} nodes nearest to its name know of it"
        if asked == denials:
            what = "the only other node does not know" if asked == 1 else f"none of the {asked} nodes knows"
            return what.replace("nodes", "nodes nearest to its name") + " of it"
        return (
            f"{denials} of the {asked} nodes nearest to its name know of no such node, and "
            f"{asked - denials} did not answer"
        )


class GroupWord:
    """Made with each start of the service, discarded with the run."""

    def __init__(
        self, node: Node, neighbourhood: Neighbourhood, search: CloseGroupSearch, lookup: CloseGroupLookup
    ) -> None:
        self._node = node
        self._neighbourhood = neighbourhood
        self._search = search
        self._lookup = lookup

    async def ask(self, name: Name, seconds: float) -> Word:
        """Ask the close group of a name for it; answers that take longer than this are not waited for."""
        word = Word()
        asking = Deferred.fromCoroutine(self._ask(name, word))
        with suppress(RoutingCrustError, TimeoutError):
            await asking.addTimeout(seconds, self._node.clock)
        return word

    async def _ask(self, name: Name, word: Word) -> None:
        own = self._node.name
        try:
            group = await self._search.close_group(name)
        except NotConnected:
            word.alone = True
            return
        # a close group has only names that have proven themselves, by a link or by an answer
        if name in group:
            word.knows.add(name)
        word.asked = frozenset(group) - {own, name}
        word.alone = group == (own,)
        questions: list[Coroutine[Any, Any, object]] = [
            self._put(name, each, word) for each in group if each in word.asked
        ]
        speaker = self._neighbourhood.speaker_of(name)
        if speaker is not None:
            questions.append(self._put_to_speaker(name, speaker, word))
        await DeferredList([Deferred.fromCoroutine(each) for each in questions], consumeErrors=True)

    async def _put(self, name: Name, member: Name, word: Word) -> None:
        answer = await self._lookup.look_up(name, of=member)
        if answer.speaker == member or name in answer.members:
            word.knows.add(member)
        elif answer.speaker is None or not await self._put_to_speaker(name, answer.speaker, word):
            word.denials.add(member)

    async def _put_to_speaker(self, name: Name, speaker: Name, word: Word) -> bool:
        """Ask the proxy of a client's record, which may be older than the client's end."""
        # neither has a link with it that we would not know of
        if speaker in (name, self._node.name):
            return False
        answer = await self._lookup.look_up(name, of=speaker)
        if answer.speaker == speaker:
            word.knows.add(speaker)
        return answer.speaker == speaker
