class BenchError(Exception):
    """Nothing can be measured: what is measured did not work; the message says what."""
