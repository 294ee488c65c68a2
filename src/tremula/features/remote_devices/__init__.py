"""Devices of other servers' users, and what those are told of ours
(SS "Device Management").
"""
