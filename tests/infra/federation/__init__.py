"""Finding other servers, and signed requests to them."""
