"""What stands for addresses that are found out later: host names, and contacts by name."""
