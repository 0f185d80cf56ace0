"""
Limits and timeouts that several parts share. They are constants, because no operator needs to change them.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
DAY_SECONDS: Final = 24 * 3600

DIAL_TIMEOUT_SECONDS: Final = 10.0
"""How long one dial may take, from its start to the end of the TLS handshake."""
DIAL_STAGGER_SECONDS: Final = 0.25
"""Between the starts of dials that race (RFC 8305)."""
PUNCH_TIMEOUT_SECONDS: Final = 6.0
"""How long both ends dial each other at the same time to open their NATs."""
BOOTSTRAP_TIMEOUT_SECONDS: Final = 60.0
"""How long one bootstrap attempt may take."""
EXPECTED_TIMEOUT_SECONDS: Final = 90.0
"""How long to wait for an expected connection."""
UNREACHABLE_SECONDS: Final = 90.0
"""How long a link, a stream, a message or a request waits for a peer before that counts as unreachable."""
MAX_KEEP_SECONDS: Final = 604800.0
"""The longest that connections may wait for a link when theirs is lost."""
MAX_DRAIN_SECONDS: Final = 3600.0
"""The longest that connections may go on when a daemon is told to end."""
TWO_WAY_WAIT_SECONDS: Final = 1.0
"""How long to wait for the second direction of a link."""
REQUEST_INTERVAL_SECONDS: Final = 20.0
"""The least time between two requests for a connection to the same peer."""
REFRESH_INTERVAL_SECONDS: Final = 30.0
"""Between two checks of the close group."""
MAX_ATTEMPTS: Final = 8
"""Transmissions of a message before it fails."""
MAX_EXTENDED_WAIT_SECONDS: Final = 3600.0
"""How long a request waits for its answer at most, where the handler asks for more time."""
MAX_CANDIDATES: Final = 8
"""Endpoints in a request for a connection."""
CONTROL_MESSAGES_PER_SECOND: Final = 100.0
"""Control messages from one peer, on average."""
MAX_CONTROL_BURST: Final = 200
"""Control messages from one peer at once."""
MAX_UNVERIFIED_BYTES: Final = 16 * 1024
"""What a peer may send before it is authenticated."""
