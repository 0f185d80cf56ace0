"""Getting a link to a named node: requests, expected connections, rendezvous and tunnels."""
