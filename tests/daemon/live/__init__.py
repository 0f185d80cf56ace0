"""Tests of what changes while a daemon runs."""
