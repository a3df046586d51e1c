"""WHAT WE SAY: sequences, messages, and what comes back."""
