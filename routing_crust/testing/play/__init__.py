"""What is played on a simulated network: scenarios, faults, and what must hold after them."""
