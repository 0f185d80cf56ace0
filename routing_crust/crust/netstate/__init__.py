"""What is known of our own network: addresses as others see them, NAT, and changes of either."""
