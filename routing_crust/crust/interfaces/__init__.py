"""
What crust offers to the layer above, and what it reports to it.

A link that crust reports has passed its TLS handshake, so the peer's name is proven. What the link is for,
and whether it is allowed, the layer above decides by a Hello, before it calls L{ILink.verified}. Until then
the link is limited to C{hello_timeout} seconds and C{MAX_UNVERIFIED_BYTES} bytes.
"""

from .account import account_by_prefix, account_of, prefix_of
from .crust import Guess, ICrust, Rendezvous
from .events import ICrustEvents
from .link import ANSWER_WITHIN_SECONDS, ILink, IRoundTrip

__all__ = [
    "ANSWER_WITHIN_SECONDS",
    "Guess",
    "ICrust",
    "ICrustEvents",
    "ILink",
    "IRoundTrip",
    "Rendezvous",
    "account_by_prefix",
    "account_of",
    "prefix_of",
]
