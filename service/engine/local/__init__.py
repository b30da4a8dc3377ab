"""The engine without a daemon: agents in sandboxes of this machine."""
