"""System checks: misconfiguration is told with its cure, before anything runs."""
