"""The one error of this package; whatever else is raised is a bug in it."""


class BareEngineError(Exception):
    """A step cannot be done; the message says in words what is missing or where the log is."""
