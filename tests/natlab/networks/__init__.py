"""Networks that are hard on nodes: what two of them have there, and how soon after something happens."""
