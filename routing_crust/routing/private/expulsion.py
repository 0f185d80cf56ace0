"""
Expulsion: a node that is no member any more loses its links and all that is kept for it, at once.

A member loses its standing by a statement of the roster, such as a ban; by a ban of the member that issued
its certificate; or when its certificate expires, which is checked now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.timers import cancel
from ...trust.judging import date_text
from ..links.registry import LinkRegistry
from ..node import Node
from .private_members import PrivateMembers

LOOK_EVERY_SECONDS: Final = 600.0
"""Between two looks for certificates that have expired."""

Forget: TypeAlias = Callable[[Name, LinkClosed], object]
"""Ends what is going on with a member that is banned, and forgets it."""


class Expulsion:
    """Made with each start of the service, told of each new roster, discarded after L{stop}."""

    log = Logger()

    def __init__(
        self, node: Node, members: PrivateMembers, links: LinkRegistry, forget: tuple[Forget, ...]
    ) -> None:
        """
        @param forget: called for each member that is banned, once its links are gone.
        """
        self._node = node
        self._members = members
        self._links = links
        self._forget = forget
        self._banned: frozenset[Name] = frozenset()
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Look at the roster that we begin with, and from now on at the certificates of peers."""
        self.roster_changed()
        self._timer = self._node.clock.callLater(LOOK_EVERY_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        cancel(self._timer)

    def roster_changed(self) -> None:
        """Close the links of all that are no longer members, and forget the newly banned."""
        before, self._banned = self._banned, self._members.roster.banned
        # first: the parts that forget a member must find no link with it any more
        self.close_links()
        for name in sorted(self._banned - before):
            ban = self._members.roster.ban_of(name)
            assert ban is not None
            problem = f"banned by {ban.issuer_text} on {date_text(ban.statement.time)}"
            if name == self._node.name:
                self.log.critical("this node is {problem}: the members refuse it", problem=problem)
                continue
            known = self._members.certificate_of(name)
            self.log.info("{member} is {problem}", member=known or name, problem=problem)
            # or it would be dialled again as a saved contact
            self._node.crust.forget(name)
            for forget in self._forget:
                forget(name, LinkClosed(CloseReason.BANNED, problem))

    def close_links(self) -> None:
        """Close the links of all that are not members now."""
        for name, shown in self._links.certificates():
            verdict = self._members.judge_again(name, shown)
            if verdict is not None:
                self._links.expel(name, verdict)

    def _look(self) -> None:
        self._timer = self._node.clock.callLater(LOOK_EVERY_SECONDS, self._look)
        self.close_links()
