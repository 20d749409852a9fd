"""Bytes to text: one file per kind of document."""
