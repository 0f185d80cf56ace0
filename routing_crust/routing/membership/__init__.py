"""A place in the network: the routing table, joining it, lookups, and the clients of a node."""
