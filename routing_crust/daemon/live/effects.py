"""
What becomes of each setting and option when it is changed while the daemon runs. The table of the
documentation is made from this one.
"""

from __future__ import annotations

from typing import Final

AT_ONCE: Final = {
    "allow": "links with peers that are not on it are closed, and their streams end",
    "allow_peer": "connections of peers that may not have the protocol any more end, with the reason",
    "contacts": "they are dialled at once, if this node has no way into the network",
    "deny": "links with peers on it are closed; their streams end, and no message of theirs is taken",
    "drain": "for the next time that the daemon is told to end",
    "expose": "connections end whose protocol is exposed no more; another program is for new connections",
    "forward": "its port is opened or closed, and with it go its connections; one that leads elsewhere "
    "keeps its port and connections",
    "hello_timeout": "for connections that come from then on",
    "log_format": "from the next line on",
    "log_level": "from the next line on",
    "max_clients": "those that there are stay",
    "max_dials": "those that go on stay",
    "max_expected": "those that there are stay",
    "max_handshakes_per_prefix": "those that wait keep their places",
    "max_links": "those that there are stay",
    "max_requests": "those that are being handled stay",
    "max_requests_per_peer": "those that are being handled stay",
    "max_same_prefix_in_bucket": "those that are in a bucket stay",
    "max_same_prefix_in_table": "those that are in the table stay",
    "max_streams": "for peers that get a link from then on and have no streams",
    "max_unverified_links": "beyond it the oldest of the most crowded prefix goes with the next that comes",
    "nicknames": "wherever a name is asked for from then on, and in the forwards and permissions of the file",
    "outbox_memory": "what waits stays",
    "port_guessing": "from the next attempt on",
    "private_dialling": "for dials from then on",
    "relay_rate": "from the next byte on",
    "stranger_dials": "from the next dial on",
    "stranger_dials_per_prefix": "from the next dial on",
    "stream_memory": "for peers that get a link from then on and have no streams",
    "stream_survival": "for streams that are opened from then on",
    "stream_window": "for peers that get a link from then on and have no streams",
    "tunnel_memory": "tunnels that there are stay until the room is needed",
    "two_way": "for links that come up from then on",
}
"""What is applied at once, and what that means for what goes on."""


def is_applied_at_once(name: str) -> bool:
    """Whether a setting or option can change while the daemon runs."""
    return name in AT_ONCE
