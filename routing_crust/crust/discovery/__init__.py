"""Where peers are found: the beacon on the local network, and the contacts that were saved."""
