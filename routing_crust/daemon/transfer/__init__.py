"""Files and folders for a peer: what both ends say, what they read and what they write. Without Twisted."""
