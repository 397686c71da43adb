"""Before anything serves: the database has its newest tables, the keys are there."""

from video_server import checks, migrations
from video_server.config import Settings
from video_server.core.database import DatabaseFault
from video_server.core.errors import CannotStart
from video_server.core.keys import KeyRing, load_keys


async def prepare(settings: Settings) -> KeyRing:
    """Migrate the database and return the keys, made only on the very first start.

    On a later start a missing key is a fault: a new one would silently kill every link that was sent.
    Raises CannotStart
    """
    try:
        fresh = await migrations.is_empty(settings.database_url)
        await migrations.upgrade(settings.database_url)
    except (OSError, DatabaseFault) as problem:
        said = str(getattr(problem, "orig", None) or problem).partition("\n")[0].rstrip(".")
        raise CannotStart(f"The database cannot be used: {said}.") from None
    if settings.demo:
        _mark_demo(settings)
    return load_keys(settings.keys_folder, create=fresh or settings.demo)


def _mark_demo(settings: Settings) -> None:
    marker = checks.demo_marker(settings)
    try:
        marker.parent.mkdir(exist_ok=True, mode=0o700)
        marker.write_text("This data folder was made by a demo. A server for real use refuses to start on it.\n")
    except OSError as problem:
        raise CannotStart(f"The folder {marker.parent} cannot be written ({problem.strerror}).") from None
