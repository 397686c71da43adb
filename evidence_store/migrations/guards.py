"""Triggers that keep the ledger append-only: the database itself refuses to change or remove a line.

They stop mistakes and careless tools. Who owns the database can drop them; what such a person changes is found by
`evidence-store verify`. A later migration that makes one of these tables anew on SQLite must set them again.
"""

from alembic import op

_SQLITE = (
    "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_nodes_no_update BEFORE UPDATE ON ledger_nodes "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_nodes_no_delete BEFORE DELETE ON ledger_nodes "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_checkpoints_no_update BEFORE UPDATE ON ledger_checkpoints "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_checkpoints_no_delete BEFORE DELETE ON ledger_checkpoints "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_head_grows BEFORE UPDATE ON ledger_head WHEN NEW.size <= OLD.size OR NEW.id <> OLD.id "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_head "
    "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
)
_POSTGRESQL = (
    "CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the ledger only grows'; END $$",
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_nodes_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_nodes "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_checkpoints_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_checkpoints "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_head_grows BEFORE UPDATE ON ledger_head FOR EACH ROW "
    "WHEN (NEW.size <= OLD.size OR NEW.id <> OLD.id) EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_head_no_delete BEFORE DELETE OR TRUNCATE ON ledger_head "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
)


def set_guards() -> None:
    """Make the triggers, in the migration that runs."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def drop_function() -> None:
    """Remove what is left when the tables are gone."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_refuse()")
