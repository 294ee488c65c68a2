"""Whose devices changed (CS module "End-to-End Encryption", tracking device lists)."""
