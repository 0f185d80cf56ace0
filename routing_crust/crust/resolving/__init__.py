"""Contacts by host name: the name servers are asked at each attempt, and what they say is judged."""
