"""The UNIX socket by which programs on this machine talk to the daemon."""
