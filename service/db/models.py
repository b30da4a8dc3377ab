"""The tables. Rows stay inside `db/` and `eventlog.py`; what leaves is a struct."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Enum, ForeignKey, Index, LargeBinary, MetaData, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from agent_image.gateway.totals import Totals
from service.run import Agent, Budget, McpServer, State


def _values(words: type[StrEnum]) -> Sequence[str]:
    return [word.value for word in words]


class AsJson(TypeDecorator[Any]):
    """A column of JSON that holds values of `kind`; None is NULL."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return msgspec.to_builtins(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else msgspec.convert(value, self.kind)


class Base(DeclarativeBase):
    # Named constraints, so that migrations can drop them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text,
        bytes: LargeBinary,
        Agent: Text,
        Budget: AsJson(Budget),
        dict[str, McpServer]: AsJson(dict[str, McpServer]),
        Totals: AsJson(Totals),
        State: Enum(State, native_enum=False, length=16, values_callable=_values, create_constraint=False),
    }


class RunRow(Base):
    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_created", "created_at", "id"),
        Index("ix_runs_open", "created_at", postgresql_where="ended_at IS NULL"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[State] = mapped_column(default=State.QUEUED)
    code: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    repo_url: Mapped[str]
    ref: Mapped[str]
    commit: Mapped[str] = mapped_column(default="")
    prompt: Mapped[str]
    setup: Mapped[list[str]] = mapped_column(ARRAY(Text))
    image: Mapped[str]
    timeout_s: Mapped[float]
    budget: Mapped[Budget | None]
    mcp_servers: Mapped[dict[str, McpServer]]
    selected: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]

    owner: Mapped[UUID | None]
    """The dispatcher that drives this run, by its lease."""
    lease_until: Mapped[datetime | None]
    """By Postgres' clock; a run whose lease is over has lost its dispatcher."""
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    """Grows with each claim; writes by an owner of an earlier one are refused."""
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """The number of the log's last event."""

    variations: Mapped[list["VariationRow"]] = relationship(order_by="VariationRow.index", lazy="selectin")


class VariationRow(Base):
    __tablename__ = "variations"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(RunRow.id, ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    agent: Mapped[Agent]
    model: Mapped[str]
    temperature: Mapped[float | None]
    prompt_suffix: Mapped[str]
    command: Mapped[str]
    state: Mapped[State] = mapped_column(default=State.QUEUED)
    exit: Mapped[int | None]
    seconds: Mapped[float | None]
    code: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    patch: Mapped[bytes | None] = mapped_column(deferred=True)
    patch_bytes: Mapped[int | None]
    usage: Mapped[Totals | None]


class SegmentRow(Base):
    """Frames of a run's log with the numbers `first_seq` to `last_seq`, as bytes that streams send as they are."""

    __tablename__ = "segments"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(RunRow.id, ondelete="CASCADE"), primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    frames: Mapped[bytes]
    is_last: Mapped[bool]
    """True for the segment that ends the log: its last frame is `run_complete`."""
