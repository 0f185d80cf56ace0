"""Tests of what the daemon and systemd tell each other."""
