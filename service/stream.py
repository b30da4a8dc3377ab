"""A run's log as server-sent events: one stream for all of its variations, resumed where a viewer was cut off."""

from uuid import UUID

from litestar.response import Stream

from service.eventlog import EventLog
from service.frames import seq_of

# A proxy that buffers, or a cache, would make of a live stream a late one.
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_stream(log: EventLog, run_id: UUID, *, last_event_id: str, heartbeat_s: float) -> Stream:
    """Stream the frames after `last_event_id`, then those to come, to the run's last.

    An id that was never ours is not an error: a viewer that lost its place starts from the beginning.
    """
    after = seq_of(last_event_id) or 0
    content = log.follow(run_id, after, heartbeat_s)
    return Stream(content, media_type="text/event-stream", headers=_HEADERS)
