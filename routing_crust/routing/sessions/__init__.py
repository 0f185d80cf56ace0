"""Sessions: the keys that two nodes share, so that what others pass on between them is sealed."""
