"""Tests of starting, watching and stopping real servers."""
