"""Links through a third node that can neither read nor alter what they carry."""
