"""
The signatures of ConnectRequests and ConnectResponses. Both travel through other nodes, so each is signed by
its sender, for its kind and its network.
"""

from __future__ import annotations

from typing import Final

from ...names import Name
from ...wire.codec import encode
from ...wire.messages import ConnectRequest, ConnectResponse, Signed
from ..node import Node

REQUEST_LABEL: Final = "connect-request"
RESPONSE_LABEL: Final = "connect-response"


def sign(node: Node, label: str, message: ConnectRequest | ConnectResponse) -> bytes:
    """The message in its signed form."""
    body = encode(message)
    identity = node.identity
    return encode(Signed(identity.name.raw, body, identity.sign(label, node.settings.network, body)))


def holds(node: Node, label: str, signed: Signed) -> bool:
    """Whether the signature is right, for this label and our network."""
    network = node.settings.network
    return node.identity.holds(Name(signed.signer), signed.signature, label, network, signed.body)
