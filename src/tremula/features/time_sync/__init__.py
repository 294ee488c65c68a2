"""The time of the server (``com.beeper.timesync``)."""
