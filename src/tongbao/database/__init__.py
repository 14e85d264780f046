"""PostgreSQL: the embedded server, connections, the schema and its migrations, bulk reading and writing."""
