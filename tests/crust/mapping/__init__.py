"""Tests of mapped ports."""
