"""What the pages show works, and what they list is complete."""
