"""What C{routing-crust doctor} looks at."""
