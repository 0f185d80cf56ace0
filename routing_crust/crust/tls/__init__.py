"""TLS on any of Twisted's transports, in whole records."""
