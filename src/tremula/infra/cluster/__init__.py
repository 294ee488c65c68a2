"""Several processes as one server: who does what, and calls that travel to them."""
