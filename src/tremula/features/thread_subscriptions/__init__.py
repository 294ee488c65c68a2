"""Which threads a user wants to be told of (MSC4306, MSC4308)."""
