"""How somebody with an invitation becomes a member."""
