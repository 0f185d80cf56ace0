"""Twisted's endpoint strings C{routing:}, for programs that use the daemon of this machine."""
