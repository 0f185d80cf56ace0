"""Checks that C{doctor} makes itself, without the daemon."""
