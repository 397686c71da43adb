"""Trigger of quarantine: what is set aside comes out by people's release, knowing what was found, or as clean."""

from alembic import op

_NO_RELEASE = "nothing leaves quarantine that was neither released nor found clean"
_LEAVING = "OLD.state = 'quarantined' AND NEW.state NOT IN ('quarantined', 'disposing', 'disposed')"
_MALWARE = "COALESCE((SELECT reason FROM screenings WHERE object = NEW.id AND verdict = 'infected'), '')"
_RELEASED = (
    "EXISTS (SELECT 1 FROM releases WHERE object = NEW.id AND state = 'released' AND malware = " + _MALWARE + ")"  # noqa: S608 (of constants)
)
_CLEAN = (
    "(OLD.verdict <> 'quarantined' AND EXISTS (SELECT 1 FROM screenings WHERE object = NEW.id AND verdict = 'clean'))"
)
_REFUSED = f"{_LEAVING} AND NOT {_RELEASED} AND NOT {_CLEAN}"
_SQLITE = (
    f"CREATE TRIGGER objects_quarantined BEFORE UPDATE OF state ON objects WHEN {_REFUSED} "
    f"BEGIN SELECT RAISE(ABORT, '{_NO_RELEASE}'); END",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION objects_quarantined() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF {_REFUSED} THEN RAISE EXCEPTION '{_NO_RELEASE}' USING ERRCODE = 'integrity_constraint_violation'; END IF;
    RETURN NEW; END $$""",
    "CREATE TRIGGER objects_quarantined BEFORE UPDATE OF state ON objects "
    "FOR EACH ROW EXECUTE FUNCTION objects_quarantined()",
)
_SQLITE_DROP = ("DROP TRIGGER objects_quarantined",)
_POSTGRESQL_DROP = ("DROP TRIGGER objects_quarantined ON objects", "DROP FUNCTION objects_quarantined()")


def set_guards() -> None:
    """Make the trigger, in the migration that runs."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def drop_guards() -> None:
    """Remove the trigger."""
    for statement in _SQLITE_DROP if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_DROP:
        op.execute(statement)
