"""The network in memory: hosts, pipes, NATs, links without sockets."""
