"""Settings come from the environment, a file and the command line; what is unknown or wrong stops the start."""

import os
from datetime import time, timedelta
from pathlib import Path

import pytest

from video_server import web_process
from video_server.config import PREFIX, Settings, load
from video_server.core.clock import utc_now
from video_server.core.errors import CannotStart
from video_server.core.keys import make_certificate


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_defaults_are_safe():
    settings = load()
    assert (settings.demo, settings.host, settings.texts, settings.behind_proxy) == (
        False,
        "127.0.0.1",
        "twilio",
        False,
    )


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "settings"
    file.write_text("VIDEO_PORT=1001\nVIDEO_HOST=192.0.2.1\nVIDEO_FORCE_NAME=Oldshire Police\n")
    file.chmod(0o640)
    monkeypatch.setenv("VIDEO_PORT", "1002")
    monkeypatch.setenv("VIDEO_HOST", "192.0.2.2")
    settings = load(file, port=1003)
    assert (settings.port, settings.host, settings.force_name) == (1003, "192.0.2.2", "Oldshire Police")


def test_settings_that_every_account_can_read_are_refused(tmp_path):
    file = tmp_path / "settings"
    file.write_text(f"VIDEO_RELAY_SECRET={'0f' * 32}\n")
    file.chmod(0o644)
    with pytest.raises(CannotStart, match=f"chmod o-rwx {file}") as refused:
        load(file)
    assert "0f0f" not in str(refused.value)
    file.chmod(0o640)
    assert load(file).relay_secret.get_secret_value() == "0f" * 32


def test_a_tls_key_that_every_account_can_read_is_refused(tmp_path):
    make_certificate(tmp_path, hosts=["127.0.0.1"], now=utc_now())
    assert web_process.tls_context(Settings(tls=tmp_path))
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.raises(CannotStart, match="chmod o-rwx"):
        web_process.tls_context(Settings(tls=tmp_path))


def test_every_unknown_name_is_told_at_once(monkeypatch):
    monkeypatch.setenv("VIDEO_PROT", "1")
    monkeypatch.setenv("VIDEO_HOTS", "2")
    with pytest.raises(CannotStart, match="VIDEO_HOTS, VIDEO_PROT"):
        load()


def test_an_unknown_name_in_lower_case_is_told(monkeypatch):
    monkeypatch.setenv("video_behind_proxi", "1")
    with pytest.raises(CannotStart, match="video_behind_proxi"):
        load()


@pytest.mark.parametrize(
    "url",
    ["video.example", "ftp://a.example", "https://a.example/path", "https://u@a.example", "https://a b", "http://[::1"],
)
def test_a_public_address_that_is_more_or_less_than_an_origin_is_refused(url):
    with pytest.raises(CannotStart, match="VIDEO_PUBLIC_URL"):
        load(public_url=url)


def test_an_unknown_name_in_the_file_is_told(tmp_path):
    (tmp_path / "settings").write_text("VIDEO_PROT=1\n")
    with pytest.raises(CannotStart, match="VIDEO_PROT"):
        load(tmp_path / "settings")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("MEDIA_ADDRESSES", "192.0.2.1"),
        ("APPOINTMENT_MINUTES", "20"),
        ("TIMEZONE", "Europe/Lodnon"),
        ("DIARY_OPENS", "half past eight"),
    ],
)
def test_a_wrong_value_is_told_by_its_name(monkeypatch, name, value):
    monkeypatch.setenv(f"VIDEO_{name}", value)
    with pytest.raises(CannotStart, match=f"VIDEO_{name}"):
        load()


def test_a_wrong_secret_is_not_repeated_in_the_message(tmp_path):
    (tmp_path / "settings").write_text("VIDEO_TWILIO_TOKE=verysecret\n")
    with pytest.raises(CannotStart) as told:
        load(tmp_path / "settings")
    assert "verysecret" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"turn_urls": ["turn:a.example"]}, "VIDEO_TURN_SECRET"),
        ({"turn_urls": ["turn:a.example"], "turn_secret": "short-secret"}, "VIDEO_TURN_SECRET"),
        ({"turn_urls": ["https://a.example"], "turn_secret": "x" * 32}, "VIDEO_TURN_URLS"),
        ({"relays_elsewhere": {"north": "a.example:5"}}, "VIDEO_RELAY_SECRET"),
        ({"relays_elsewhere": {"north": "a.example:5"}, "relay_secret": "short-secret"}, "VIDEO_RELAY_SECRET"),
        ({"relays_elsewhere": {"1": "a.example:5"}, "relay_secret": "5e" * 32}, "VIDEO_RELAYS_ELSEWHERE"),
        ({"relays_elsewhere": {"north": "a.example"}, "relay_secret": "5e" * 32}, "VIDEO_RELAYS_ELSEWHERE"),
        ({"relay_listen": "0.0.0.0:5", "relay_secret": "5e" * 32}, "VIDEO_RELAY_TLS"),
        ({"relay_listen": "5", "relay_secret": "5e" * 32}, "VIDEO_RELAY_LISTEN"),
    ],
)
def test_control_from_elsewhere_and_turn_need_their_secrets(given, told):
    with pytest.raises(CannotStart, match=told) as refusal:
        load(**given)
    assert "short-secret" not in str(refusal.value)


def test_relays_are_one_for_each_core_and_those_elsewhere():
    settings = load(relays_elsewhere={"north": "[2001:db8::1]:5"}, relay_secret="5e" * 32)
    assert list(settings.relay_controls) == [*map(str, range(1, len(os.sched_getaffinity(0)) + 1)), "north"]
    assert settings.relay_controls["north"].host == "2001:db8::1"


def test_a_secret_does_not_show_when_settings_are_printed():
    assert "verysecret" not in repr(load(twilio_token="verysecret"))


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        load().port = 9


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "port": 9000}, "http://127.0.0.1:9000"),
        ({"tls": "self-signed"}, "https://127.0.0.1:8080"),
        ({"public_url": "https://video.example.police.uk/"}, "https://video.example.police.uk"),
        ({"host": "::1"}, "http://[::1]:8080"),
    ],
)
def test_the_origin_is_what_people_reach(given, origin):
    assert load(**given).origin == origin


def test_tls_is_a_word_or_a_folder():
    assert load(tls="self-signed").tls == "self-signed"
    assert load(tls="/etc/tls").tls == Path("/etc/tls")
    assert load().tls == ""


def test_the_forces_own_values_come_from_the_settings(monkeypatch):
    monkeypatch.setenv("VIDEO_DIARY_OPENS", "08:00")
    monkeypatch.setenv("VIDEO_REMINDERS_HOURS", "[48, 2]")
    force = load(timezone="Europe/London", appointment_minutes=30).force()
    assert force.diary_opens == time(8)
    assert force.reminders == (timedelta(hours=48), timedelta(hours=2))
    assert force.appointment_length == timedelta(minutes=30)
