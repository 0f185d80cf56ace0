"""Tests on real NATs, in network namespaces: they need root, and are skipped without."""
