"""Server discovery (CS "Well-known URIs")."""
