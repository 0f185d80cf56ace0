"""Messages by name: sending, forwarding, acknowledging, splitting, answering."""
