"""
The id of a private network: C{key:} and the public key of its authority, written as a name.

Any other text is the id of an open network, which has no authority.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import InvalidName
from ..names import PRIVATE_PREFIX, Name


def is_private(network: str) -> bool:
    """Whether the members of this network need certificates."""
    return network.startswith(PRIVATE_PREFIX)


def network_of(authority: Name) -> str:
    """The id of the network that belongs to this authority."""
    return f"{PRIVATE_PREFIX}{authority}"


@lru_cache(maxsize=64)
def authority_of(network: str) -> Name:
    """
    The authority's public key.

    @raise InvalidName: the text is not the id of a private network.
    """
    if not is_private(network):
        raise InvalidName(f"{network!r} is not the id of a private network: it does not begin with 'key:'")
    authority = Name.from_text(network.removeprefix(PRIVATE_PREFIX))
    # One network must not have two ids, and the id is signed as a text.
    if network != network_of(authority):
        raise InvalidName(f"{network!r} is not the id of a private network: write it in lower case")
    return authority
