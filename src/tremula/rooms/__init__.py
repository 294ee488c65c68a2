"""The room engine: builds, authorises, persists and reads the events of rooms."""
