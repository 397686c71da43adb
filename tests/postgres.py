"""A private PostgreSQL server for the suite: started on a free port in a folder of its own, gone afterwards.

PostgreSQL refuses to run as root, so as root it runs as the account `postgres` (from Debian's package), outside
pytest's folders, which are closed to other accounts.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import find_free_port

SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
"""


def find_programs() -> Path:
    """Return the folder of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not found:
        raise RuntimeError("PostgreSQL is missing: on Debian install the package 'postgresql'")
    return found[-1]


@contextmanager
def running() -> Iterator[str]:
    """Start a server; yield its base address, to which a database's name is appended."""
    programs = find_programs()
    account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    become = ["runuser", "-u", account, "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="video-postgres-", dir="/tmp"))
    if become:
        shutil.chown(folder, account)
    data, port = folder / "data", find_free_port()
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    try:
        subprocess.run(
            [*become, programs / "initdb", "-D", data, "-A", "trust", "-U", "video", "-E", "UTF8", "--no-sync"], **quiet
        )
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}port = {port}\nunix_socket_directories = '{folder}'\n")
        control = [*become, programs / "pg_ctl", "-D", data, "-w", "-t", "300", "-l", folder / "log"]
        subprocess.run([*control, "start"], **quiet)
        try:
            yield f"postgresql+asyncpg://video@127.0.0.1:{port}"
        finally:
            subprocess.run([*control, "stop", "-m", "immediate"], **quiet)
    finally:
        shutil.rmtree(folder)
