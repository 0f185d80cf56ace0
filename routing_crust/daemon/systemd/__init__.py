"""What a daemon and systemd tell each other: sockets that are handed over, readiness, state and watchdog."""
