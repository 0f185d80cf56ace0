"""Messages of ours, from C{send} to their acknowledgement: attempts, waits, retries."""
