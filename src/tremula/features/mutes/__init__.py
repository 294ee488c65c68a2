"""Mutes by account data of rooms (``com.beeper.account_data_mute``)."""
