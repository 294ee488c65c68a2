"""E-mail addresses of users: proved, found, and invited by (CS "Adding Account
Administrative Contact Information", "Third-party invites").
"""
