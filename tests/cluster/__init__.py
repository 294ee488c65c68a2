"""A server of several processes, which come, go, stop and crash."""
