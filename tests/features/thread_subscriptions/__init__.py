"""Thread subscriptions."""
