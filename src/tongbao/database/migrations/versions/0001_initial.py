"""The schema of the first release, in ``0001_initial.sql``.

Until then `script/migration` writes that file anew from the declared rows, and the revision tells which text of it
a database was made by, so that one made by another text is refused instead of misread.
"""

from hashlib import sha256
from pathlib import Path

from alembic import op

SQL = Path(__file__).with_suffix(".sql").read_text()

revision = "0001_" + sha256(SQL.encode()).hexdigest()[:8]
down_revision = None


def upgrade() -> None:
    """Make every table."""
    for statement in SQL.split(";\n\n"):
        op.get_bind().exec_driver_sql(statement)
