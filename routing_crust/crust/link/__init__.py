"""The live link: TLS, certificates, negotiation and the send queue."""
