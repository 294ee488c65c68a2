"""Where two devices meet that log one in by a QR code (MSC4108, MSC4388)."""
