"""What C{doctor} checks itself, without the daemon, and its verdicts."""
