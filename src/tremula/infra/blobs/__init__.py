"""Bytes under keys, in a folder or in an object store, beside the database.

Nothing is changed once it is written: a key has the same bytes for as long as it is
there. Who needs a blob says so in the database; this layer keeps no books.
"""
