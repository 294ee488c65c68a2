"""Previews of the web pages that messages link to (CS getUrlPreviewAuthed)."""
