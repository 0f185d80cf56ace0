"""What a node says of itself: its status, and why it has a link with a peer or none."""
