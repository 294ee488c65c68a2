"""Application services that users add for themselves, as bridge-manager does."""
