"""TCP simultaneous open through NATs."""
