"""Fake model providers for tests: one of our own, which can also fail, and aimock, which nobody here wrote."""
