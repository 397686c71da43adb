"""Triggers of keeping: an open hold forbids disposal, disposal needs an approved review, what is gone stays gone."""

from alembic import op

_NO_HOLD = "no disposal while a hold is open"
_NO_REVIEW = "no disposal without an approved review"
_GONE = "what was disposed of stays so"
_HELD = (
    "EXISTS (SELECT 1 FROM holds WHERE released_at IS NULL AND incident = NEW.incident "
    "AND (object = '' OR object = NEW.id))"
)
_APPROVED = "EXISTS (SELECT 1 FROM reviews WHERE object = NEW.id AND state = 'approved')"
_LEAVING = "NEW.state IN ('disposing', 'disposed') AND OLD.state NOT IN ('disposing', 'disposed')"
_BACK = (
    "(OLD.state = 'disposed' AND NEW.state <> 'disposed') "
    "OR (OLD.state = 'disposing' AND NEW.state NOT IN ('disposing', 'disposed'))"
)
_TOO_LATE = "EXISTS (SELECT 1 FROM objects WHERE id = NEW.object AND state IN ('disposing', 'disposed'))"
_SQLITE = (
    f"CREATE TRIGGER objects_held BEFORE UPDATE OF state ON objects WHEN {_LEAVING} AND {_HELD} "
    f"BEGIN SELECT RAISE(ABORT, '{_NO_HOLD}'); END",
    f"CREATE TRIGGER objects_reviewed BEFORE UPDATE OF state ON objects WHEN {_LEAVING} AND NOT {_APPROVED} "
    f"BEGIN SELECT RAISE(ABORT, '{_NO_REVIEW}'); END",
    f"CREATE TRIGGER objects_gone BEFORE UPDATE OF state ON objects WHEN {_BACK} "
    f"BEGIN SELECT RAISE(ABORT, '{_GONE}'); END",
    f"CREATE TRIGGER holds_too_late BEFORE INSERT ON holds WHEN {_TOO_LATE} BEGIN SELECT RAISE(ABORT, '{_GONE}'); END",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION objects_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF {_BACK} THEN RAISE EXCEPTION '{_GONE}' USING ERRCODE = 'integrity_constraint_violation'; END IF;
    IF {_LEAVING} AND {_HELD} THEN
        RAISE EXCEPTION '{_NO_HOLD}' USING ERRCODE = 'integrity_constraint_violation'; END IF;
    IF {_LEAVING} AND NOT {_APPROVED} THEN
        RAISE EXCEPTION '{_NO_REVIEW}' USING ERRCODE = 'integrity_constraint_violation'; END IF;
    RETURN NEW; END $$""",
    "CREATE TRIGGER objects_keep BEFORE UPDATE OF state ON objects FOR EACH ROW EXECUTE FUNCTION objects_keep()",
    f"""CREATE FUNCTION holds_in_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF {_TOO_LATE} THEN RAISE EXCEPTION '{_GONE}' USING ERRCODE = 'integrity_constraint_violation'; END IF;
    RETURN NEW; END $$""",
    "CREATE TRIGGER holds_in_time BEFORE INSERT ON holds FOR EACH ROW EXECUTE FUNCTION holds_in_time()",
)


_SQLITE_DROP = (
    "DROP TRIGGER objects_held",
    "DROP TRIGGER objects_reviewed",
    "DROP TRIGGER objects_gone",
    "DROP TRIGGER holds_too_late",
)
_POSTGRESQL_DROP = (
    "DROP TRIGGER objects_keep ON objects",
    "DROP TRIGGER holds_in_time ON holds",
    "DROP FUNCTION objects_keep()",
    "DROP FUNCTION holds_in_time()",
)


def set_guards() -> None:
    """Make the triggers, in the migration that runs."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def drop_guards() -> None:
    """Remove the triggers."""
    for statement in _SQLITE_DROP if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_DROP:
        op.execute(statement)
