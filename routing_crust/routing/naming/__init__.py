"""What people call nodes."""
