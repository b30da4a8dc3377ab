"""What Alembic runs: the migrations, on the connection that `service.db.schema` hands in."""

from alembic import context

from service.db.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
