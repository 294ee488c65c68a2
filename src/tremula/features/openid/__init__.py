"""Tokens that prove to third parties who somebody is (CS and SS "OpenID")."""
