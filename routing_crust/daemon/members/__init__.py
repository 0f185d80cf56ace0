"""The members of a private network, as their daemons manage them: credentials, certificates, bans."""
