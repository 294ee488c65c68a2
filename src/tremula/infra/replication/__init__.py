"""One order of everything for several processes that all write."""
