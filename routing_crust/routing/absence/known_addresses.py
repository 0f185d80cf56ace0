"""
The addresses at which a peer was, as far as we know and may dial them, and whether it still is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred, DeferredList

from ...crust.reachability import Knock, Presence
from ...endpoints import Endpoint
from ...names import Name
from ...timing.timers import cancel
from ..node import Node

MAX_KNOCKS: Final = 6
"""Addresses of a peer that are dialled for it at once: there may be room for two dials beside them."""


class DialRules(Protocol):
    """Which addresses that a peer has told us are dialled, since they may be a victim's."""

    def refusal(self, peer: Name, endpoint: Endpoint) -> str | None:
        """Why this one never is; C{None} if it may be."""

    def affordable(self, peer: Name, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """The addresses that may be dialled now, of these. They are counted."""


class KnownAddresses:
    """Made with each start of the service, discarded with the run."""

    def __init__(self, node: Node, rules: DialRules) -> None:
        self._node = node
        self._rules = rules

    def of(self, name: Name) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
        """
        Where a peer was.

        @return: by the configured and the saved contacts; and where else others have told us, most of all
            itself, as far as we dial such addresses for strangers.
        """
        crust = self._node.crust
        contacts = (*crust.configured_contacts(), *crust.saved_contacts())
        found = dict.fromkeys(each.endpoint for each in contacts if each.name == name)
        # the latest first: what was told long ago may be the address of another by now
        told = dict.fromkeys(each.endpoint for each in reversed(crust.history.of(name).told))
        others = [each for each in told if each not in found and self._rules.refusal(name, each) is None]
        return tuple(found)[:MAX_KNOCKS], tuple(others)[: max(0, MAX_KNOCKS - len(found))]

    async def knock(self, name: Name, seconds: float) -> tuple[Knock, ...]:
        """Dial each of these addresses; one that is silent for this time is given up."""
        known, told = self.of(name)
        crust = self._node.crust
        found: dict[Endpoint, Knock] = {}
        dials = crust.knock((*known, *self._rules.affordable(name, told)), name)
        kept = [each.addCallback(_keep, found) for each in dials]
        patience = self._node.clock.callLater(seconds, _call_off, kept)
        await DeferredList(kept, consumeErrors=True)
        cancel(patience)
        # an address that was not affordable had no dial, and proves nothing either
        silent = Presence.UNKNOWN, "no answer"
        return tuple(found.get(each, Knock(each, *silent)) for each in (*known, *told))


def _keep(knock: Knock, found: dict[Endpoint, Knock]) -> None:
    found[knock.endpoint] = knock


def _call_off(dials: Sequence[Deferred[None]]) -> None:
    for each in dials:
        each.cancel()
