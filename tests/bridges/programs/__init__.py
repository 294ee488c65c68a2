"""Bridges and people, each a program; run by the environment of `own_program`."""
