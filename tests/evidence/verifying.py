"""`evidence-store` of a test: as it is, but for the tokens that the test laid."""

from evidence_store import cli
from tests.evidence_tokens import hide_laid_tokens


def main() -> None:
    """Run the command."""
    hide_laid_tokens()
    cli.main()


if __name__ == "__main__":
    main()
