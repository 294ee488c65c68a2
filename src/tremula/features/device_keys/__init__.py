"""Identity and cross-signing keys of our users (CS module "End-to-End Encryption")."""
