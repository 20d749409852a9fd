"""What we call: one port per kind of engine, and one adapter file per vendor."""
