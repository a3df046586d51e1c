"""Who listens to what: the only signal connections, in order."""


def connect() -> None:
    """Connect every receiver. Called once, when Django is ready; receivers of one signal run in the order given here."""
