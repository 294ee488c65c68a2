"""Pushers: where users are notified when they look elsewhere (CS "Push Notifications",
Push Gateway API).
"""
