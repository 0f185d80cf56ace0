"""Expose and forward: programs that know nothing of this package, across two daemons."""
