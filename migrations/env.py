"""Alembic's environment: async, on the connection that `api.schema_upgrade` hands over."""

from alembic import context

from migrations.metadata import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
