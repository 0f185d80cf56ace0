"""
Limits and waits that several parts agree on. They are no settings: no operator has a reason to change them.
"""

from __future__ import annotations

from typing import Final

DIAL_TIMEOUT_SECONDS: Final = 10.0
"""For one dial, from its start to the end of the TLS handshake."""
DIAL_STAGGER_SECONDS: Final = 0.25
"""Between the starts of dials that race (RFC 8305)."""
PUNCH_TIMEOUT_SECONDS: Final = 6.0
"""How long both ends try at once to get through their NATs."""
BOOTSTRAP_TIMEOUT_SECONDS: Final = 60.0
"""For one attempt to bootstrap."""
EXPECTED_TIMEOUT_SECONDS: Final = 90.0
"""How long an expected connection is waited for."""
TWO_WAY_WAIT_SECONDS: Final = 1.0
"""How long the second direction of a link is waited for."""
REQUEST_INTERVAL_SECONDS: Final = 20.0
"""The same peer is not asked again for a connection within this time."""
REFRESH_INTERVAL_SECONDS: Final = 30.0
"""How often a node looks whether its close group is still right."""
MAX_ATTEMPTS: Final = 8
"""How often a message is sent before it is given up."""
MAX_CANDIDATES: Final = 8
"""Addresses in a request for a connection."""
CONTROL_MESSAGES_PER_SECOND: Final = 100.0
"""Control messages from one peer, on average."""
MAX_CONTROL_BURST: Final = 200
"""Control messages from one peer at once."""
MAX_UNVERIFIED_BYTES: Final = 16 * 1024
"""What a peer may send before it is authenticated."""
