"""Full-text search over what a user may see (CS module "Server Side Search")."""
