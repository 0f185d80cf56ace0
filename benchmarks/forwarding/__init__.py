"""The daemon's forwards beside C{ssh -L} and C{socat} with TLS: the same bytes between the same programs."""
