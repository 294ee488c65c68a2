"""Tremula: a Matrix homeserver, one small process or many."""
