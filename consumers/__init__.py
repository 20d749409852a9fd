"""What happens to events: one file per stage, in the order data meets them."""
