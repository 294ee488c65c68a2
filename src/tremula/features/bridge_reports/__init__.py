"""What bridges report of themselves, for those who run them."""
