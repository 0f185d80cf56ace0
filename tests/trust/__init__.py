"""Tests of C{routing_crust.trust}."""
