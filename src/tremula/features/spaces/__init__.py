"""Spaces: rooms that list rooms (CS and SS module "Spaces")."""
