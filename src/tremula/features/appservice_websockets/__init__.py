"""Websockets that application services open, to be reached without an address."""
