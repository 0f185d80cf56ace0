"""Private networks: who is a member, the roster between members, bans and renewals."""
