"""The links of each peer: handshake, which one counts, and how another takes over."""
