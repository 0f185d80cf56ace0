"""Tests of what lies in contrib/: files for those who install the daemon on a machine."""
