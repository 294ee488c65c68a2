"""What application services with end-to-end encryption are told (MSC3202, MSC4203)."""
