"""Thumbnails, made in a process of their own.

Decoders of images are where crafted files do harm. Here one costs the process, which
is limited and has nothing to steal, and one request.
"""
