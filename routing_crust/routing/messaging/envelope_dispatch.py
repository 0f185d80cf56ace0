"""
Envelopes for this node: the signature is checked, then each goes to the part that takes its kind.

The parts fill in the table of kinds themselves. An envelope that cannot be read is dropped without closing
the link: the relay that passed it on does not read it, and is not to blame.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from ...config import names_in
from ...crust.interfaces import ILink, account_by_prefix, prefix_of
from ...errors import WireError
from ...limits import CONTROL_MESSAGES_PER_SECOND, MAX_CONTROL_BURST
from ...names import Name
from ...quietlog import QuietLog
from ...timing.account_rates import AccountRates
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.messages import Envelope, EnvelopeKind, Signed
from ..control import EnvelopeHandler
from ..envelopes import SELF_PROVING, holds
from ..node import Node

_NO_CONTROL: Final = frozenset((EnvelopeKind.SEALED, EnvelopeKind.UNDELIVERABLE))
"""Kinds that serve messages. The others are control messages, whose rate is limited for each peer."""
_UNSIGNED: Final = SELF_PROVING | _NO_CONTROL
"""Kinds whose envelope need not be signed: the body proves itself, or a session opens it, or it is a hint."""


class EnvelopeDispatch:
    """Made with each start of the service, fed by the forwarder, discarded with the run."""

    log = Logger()

    def __init__(self, node: Node) -> None:
        settings, seconds = node.settings, node.clock.seconds
        self._network = settings.network
        self._identity = node.identity
        self._members = node.members
        self._settings = settings
        self.settings_changed()
        self._quiet = QuietLog(self.log, seconds)
        self._handlers: dict[EnvelopeKind, EnvelopeHandler] = {}
        self._rates = AccountRates(CONTROL_MESSAGES_PER_SECOND, MAX_CONTROL_BURST, seconds)

    def settings_changed(self) -> None:
        """The setting C{deny} may be another."""
        self._denied = names_in(self._settings.deny)

    def handle(self, kind: EnvelopeKind, handler: EnvelopeHandler) -> None:
        """Have envelopes of this kind handled."""
        self._handlers[kind] = handler

    def received(self, envelope: Envelope, source: Name, link: ILink) -> None:
        """
        An envelope is at its destination.

        @param link: the link that it came by, whose peer's C{CONTROL_MESSAGES_PER_SECOND} it counts against.
        """
        # before the signature: there is nothing to gain by claiming a denied name
        if source in self._denied:
            self._quiet.info(
                "denied names",
                "dropped an envelope of {source}: the setting deny names it",
                by=prefix_of(link),
                source=source,
            )
            return
        if self._members.is_banned(source):
            self._quiet.info(
                "banned names",
                "dropped an envelope of {source}: it is banned",
                by=prefix_of(link),
                source=source,
            )
            return
        # before the signature, too: checking one takes longer than answering most control messages
        if envelope.kind not in _NO_CONTROL and not self._rates.take(account_by_prefix(link)):
            return
        try:
            if source == link.peer:
                proven = True  # by TLS
            elif envelope.signature:
                proven = holds(envelope, self._network, self._identity)
            else:
                proven = envelope.kind in _UNSIGNED
            if not proven:
                raise WireError("its signature does not hold")
            # a peer that may send in its own name alone must not put another's body inside
            if envelope.kind in SELF_PROVING and _signer(envelope) != envelope.source:
                raise WireError("its body is signed by another key")
            self._handle(envelope, source, link)
        except WireError as error:
            self._dropped(source, error, link)

    def received_from_ourselves(self, envelope: Envelope, source: Name) -> None:
        """An envelope of our own is for this node."""
        try:
            self._handle(envelope, source, None)
        except WireError as error:
            self._dropped(source, error, None)

    def _handle(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        handler = self._handlers.get(envelope.kind)
        if handler is not None:
            handler(envelope, source, link)

    def _dropped(self, source: Name, error: WireError, link: ILink | None) -> None:
        self._quiet.info(
            "bad envelopes",
            "dropped an envelope of {source}: {problem}",
            by=prefix_of(link),
            source=source,
            problem=str(error),
        )


def _signer(envelope: Envelope) -> bytes:
    return decode(Signed, envelope.body, MAX_CONTROL_BYTES).signer
