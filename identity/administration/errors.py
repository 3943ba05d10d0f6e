"""What an operator is told when something cannot be done."""


class AdministrationError(Exception):
    """One clear sentence; nothing was changed."""
