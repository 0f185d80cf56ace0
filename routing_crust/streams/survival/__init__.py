"""Streams outlive their links: sessions with peers, their suspension, and the way back."""
