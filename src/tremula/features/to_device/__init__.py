"""Messages to devices (CS "Send-to-Device messaging")."""
