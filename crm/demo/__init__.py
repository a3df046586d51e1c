"""The demo: one process tree on one port, with believable data."""
