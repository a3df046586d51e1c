"""WHO: people, what they did, how warm they are, where they stand."""
