"""What is made from the parsers of the command lines: completion for shells, and manual pages."""
