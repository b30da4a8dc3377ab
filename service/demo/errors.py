class DemoError(Exception):
    """The demo did not come out as its scripts mean it to; the message says how."""
