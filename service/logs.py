"""What the programs of AIdeator log, and how it looks."""

import logging
import sys

import structlog


def set_up_logging(level: int) -> None:
    """Log to stderr: in colours for people, as JSON lines where it is no terminal."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Not the rich tracebacks: those take seconds each, in which nobody is served.
    people = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    programs = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([people] if sys.stderr.isatty() else programs),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
