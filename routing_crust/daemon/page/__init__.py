"""The status page: what a node is doing, for eyes and for monitoring, over HTTP."""
