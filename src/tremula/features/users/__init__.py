"""Our own users: their records and passwords."""
