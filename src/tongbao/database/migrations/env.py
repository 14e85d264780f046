"""Alembic runs this to migrate. The connection, and the transaction around it, are ``tongbao.database.migrate``'s."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
