"""Receipts and read markers (CS "Receipts", "Read and unread markers")."""
