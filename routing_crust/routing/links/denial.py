"""
Denial: when the allow and deny lists change, a peer that is not allowed any more loses its links, and all
that is under way with it, at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ...config import names_in
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ..node import Node
from .registry import LinkRegistry

Forget: TypeAlias = Callable[[Name, LinkClosed], object]
"""Ends what is going on with a peer that has no link, and forgets it."""


class Denial:
    """Made with each start of the service, told of each change of the settings."""

    def __init__(self, node: Node, links: LinkRegistry, forget: tuple[Forget, ...]) -> None:
        """
        @param forget: called for each peer that is not allowed any more, once its links are gone.
        """
        self._node = node
        self._links = links
        self._forget = forget

    def settings_changed(self, denied_before: tuple[str, ...]) -> None:
        """
        Close the links that are not allowed any more.

        @param denied_before: what the setting C{deny} was.
        """
        refused = {link.peer: why for link, why in self._node.crust.settings_changed()}
        for name, why in refused.items():
            self._links.drop(name, CloseReason.NOT_ALLOWED, why)
        # one without a link may have streams that wait for it
        denied = names_in(self._node.settings.deny) - names_in(denied_before)
        for name in sorted(denied - refused.keys()):
            refused[name] = f"the name is on the deny list (limit {name}, setting deny)"
        for name, why in refused.items():
            for forget in self._forget:
                forget(name, LinkClosed(CloseReason.NOT_ALLOWED, why))
