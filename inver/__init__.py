"""Puts Inver together: settings, wiring, command line and operations."""

from inver.rooms import check_rooms

check_rooms()
