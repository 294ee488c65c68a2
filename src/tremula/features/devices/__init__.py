"""Devices of our own users (CS module "Device Management")."""
