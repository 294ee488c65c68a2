"""What the server itself tells a user (CS module "Server Notices")."""
