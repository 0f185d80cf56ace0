"""A proxy for programs of this machine: SOCKS5 and HTTP, to what peers expose and to nothing else."""
