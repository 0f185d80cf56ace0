"""
Who belongs to a private network: certificates, the roster of bans, invitations. Values and decisions without
Twisted; only the module that reads and writes the state directory does I/O.
"""
