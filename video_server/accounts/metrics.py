"""Figures of sign-in for Prometheus; rows of the audit table tell of which account, the figures never do."""

from prometheus_client import Counter

FAILURES = Counter("sign_in_failures_total", "Wrong passwords, from browsers that know the account and others", ["by"])
LOCKS = Counter("sign_in_locks_total", "Allowances of wrong passwords that were used up, by whose", ["of"])


def observe_failure(locked: list[str], *, is_known: bool) -> None:
    """Count one wrong password and what it has locked."""
    FAILURES.labels("known" if is_known else "stranger").inc()
    for whose in locked:
        LOCKS.labels(whose).inc()
