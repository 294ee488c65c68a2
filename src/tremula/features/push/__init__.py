"""Push rules (CS module "Push Notifications")."""
