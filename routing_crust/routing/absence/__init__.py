"""Finding out whether a peer is gone, so that those who wait for it are told early."""
