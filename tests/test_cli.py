"""The `video-server` command: its help is quick and true, accounts can be made for real use."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import run
from video_server.config import load
from video_server.core.database import Database


@pytest.mark.parametrize("command", [[], ["serve"], ["prepare"], ["web"], ["relay"], ["scheduler"], ["staff", "add"]])
def test_help_is_there_for_every_command(command):
    ended = run(*command, "--help")
    assert ended.returncode == 0
    assert "Usage:" in ended.stdout


def test_help_imports_nothing_heavy():
    heavy = {"aiohttp", "sqlalchemy", "aiortc", "pydantic"}
    program = f"import sys, video_server.cli; print(*{heavy!r} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


@pytest.fixture
def real(tmp_path):
    """Settings of a server for real use, its database made."""
    settings = {
        "VIDEO_DATA": str(tmp_path / "data"),
        "VIDEO_KEYS": str(tmp_path / "keys"),
        "VIDEO_PUBLIC_URL": "https://video.example.police.uk",
        "VIDEO_TWILIO_ACCOUNT": "AC0",
        "VIDEO_TWILIO_TOKEN": "secret",
        "VIDEO_TWILIO_SENDER": "MG0",
        "VIDEO_BEHIND_PROXY": "true",
    }
    assert run("prepare", env=settings).returncode == 0
    return settings


async def signs_in(settings: dict[str, str], username: str, password: str) -> bool:
    from video_server.accounts import service as accounts

    database = Database(load(data=settings["VIDEO_DATA"]).database_url)
    try:
        return await accounts.password_fits(database, username, password)
    finally:
        await database.dispose()


async def test_an_account_is_made_listed_and_given_a_new_password(real):
    added = run("staff", "add", "jones", "--name", "PC Jones", "--collar-number", "88", "--role", "officer", env=real)
    assert added.returncode == 0, added.stderr
    first = added.stdout.strip().rpartition(" ")[2]
    assert await signs_in(real, "jones", first)
    assert run("staff", "list", env=real).stdout == "jones\tPC Jones\t88\tofficer\n"

    changed = run("staff", "password", "jones", env=real)
    second = changed.stdout.strip().rpartition(" ")[2]
    assert await signs_in(real, "jones", second)
    assert not await signs_in(real, "jones", first)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["staff", "add", "jones", "--name", "PC Jones", "--role", "wizard"], "Roles are: call_handler, officer"),
        (["staff", "add", "Jo Nes", "--name", "PC Jones", "--role", "officer"], "A username is"),
        (["staff", "add", "jones", "--name", "x" * 81, "--role", "officer"], "A name is"),
        (["staff", "password", "nobody"], "There is no account nobody"),
    ],
)
def test_what_cannot_be_an_account_is_told_in_one_sentence(real, arguments, sentence):
    ended = run(*arguments, env=real)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_username_is_given_once(real):
    again = [run("staff", "add", "jones", "--name", "PC Jones", "--role", "officer", env=real) for _ in range(2)]
    assert [ended.returncode for ended in again] == [0, 1]
    assert "Another account has this username" in again[1].stderr


def test_accounts_before_the_database_is_made_are_told_what_to_run(tmp_path):
    ended = run("staff", "list", env={"VIDEO_DATA": str(tmp_path)})
    assert ended.returncode == 1
    assert "video-server prepare" in ended.stderr


def test_a_part_started_by_a_parent_that_is_gone_ends_at_once(real):
    for part in ("web", "relay", "scheduler"):
        assert run(part, "--parent-pipe", env=real).returncode == 0


async def test_a_disabled_account_is_listed_no_more_and_does_not_sign_in(real):
    added = run("staff", "add", "jones", "--name", "PC Jones", "--role", "officer", env=real)
    password = added.stdout.strip().rpartition(" ")[2]
    assert run("staff", "disable", "jones", env=real).stdout == "Disabled jones.\n"
    assert run("staff", "list", env=real).stdout == ""
    assert not await signs_in(real, "jones", password)
    assert "no account jones" in run("staff", "disable", "jones", env=real).stderr


def test_what_the_server_writes_is_for_its_own_account_alone(real):
    made = [path for path in Path(real["VIDEO_DATA"]).rglob("*") if not path.is_symlink()]
    assert made
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_a_data_folder_that_others_can_look_into_is_refused_in_real_use(real):
    Path(real["VIDEO_DATA"]).chmod(0o755)
    ended = run("prepare", env=real)
    assert ended.returncode == 1
    assert "chmod 700" in ended.stderr
