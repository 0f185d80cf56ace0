"""Commands that change the daemon while it runs."""
