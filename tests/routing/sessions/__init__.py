"""Tests of sessions: keys, handshakes and what becomes of them when flights are lost."""
