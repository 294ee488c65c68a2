"""The machine underneath: database, journal, HTTP. It knows no Matrix feature."""
