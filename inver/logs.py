"""Logs: one JSON object a line on standard error, event names and fields, never a document's text."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog


def configure_logs(level: int = logging.INFO) -> None:
    """Set structlog up once per process; vendors' own logs appear from warnings on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    # pypdf warns about every flaw it can live with; what it cannot becomes a document's own failure.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    # pymilvus logs a traceback for every error it raises; the adapter tells what became of it.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    if level >= logging.ERROR:
        # A group that is being formed is an error to aiokafka; what a command cannot get over, it says itself.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
