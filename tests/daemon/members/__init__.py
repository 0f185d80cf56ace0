"""Tests of C{routing_crust.daemon.members}, and of the commands about members."""
