"""What to do when a stream cannot be opened."""

from __future__ import annotations

from typing import Final

from ...control.client import ClientError

NOT_OFFERED: Final = "nobody offers this protocol there"
NOT_ALLOWED: Final = "this protocol is not for this peer"
"""
As streams say it; a test compares them, since the texts there come with Twisted.
"""
_UNKNOWN: Final = "InvalidName"
_UNREACHABLE: Final = ("PeerUnreachable", "NotConnected")


def explained(error: ClientError, who: str, protocol: str) -> str:
    """
    What to tell the operator.

    @param error: what the daemon said.
    @param who: the peer, as the operator called it.
    """
    text = str(error)
    if error.kind == _UNKNOWN:
        # it may ask whether another nickname was meant
        end = "" if text.endswith("?") else ";"
        return f"{text}{end} 'routing-crust members' and 'routing-crust status' show who is known here"
    if text.startswith(NOT_OFFERED):
        return (
            f"{who} does not offer {protocol} ({text}): run 'routing-crust expose add "
            f"{protocol}=tcp:localhost:PORT --allow NAME' on {who}, with the name or nickname of this node"
        )
    if text.startswith(NOT_ALLOWED):
        return (
            f"{who} does not let this node use {protocol} ({text}): allow it on {who}, with '--allow NAME' "
            "where it is exposed; 'routing-crust name' here prints the name"
        )
    if error.kind in _UNREACHABLE:
        return f"{text}; 'routing-crust explain {who}' says what was tried"
    return f"no stream to {protocol} of {who}: {text}" if error.kind else text
