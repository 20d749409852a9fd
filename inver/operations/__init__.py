"""What operators do: one operation per file."""
