"""Tests of what is made from the parsers of the command lines."""
