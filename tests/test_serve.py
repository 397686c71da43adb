"""`video-server serve` as people run it: a real process with real children, killed and stopped for real."""

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509

from tests.ports import find_free_port
from tests.serving import COMMAND, PATIENCE_SECONDS, Serving, environment, is_alive, run, wait_for
from video_server import checks
from video_server.checks import ROOT, is_loopback
from video_server.core.clock import utc_now
from video_server.core.errors import CannotStart
from video_server.core.keys import load_keys, make_certificate
from video_server.serve import own_addresses

PARTS = {"evidence", "web", "relay", "scheduler"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One demo server that the tests of this module share."""
    server = Serving(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield server.wait_until_ready()
    finally:
        server.stop()


def test_the_demo_says_how_to_try_it_and_what_it_says_is_true(serving):
    password = serving.line("Booth").rpartition(" ")[2]
    kept = serving.data / "demo" / "sign-in.json"
    assert password in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert serving.get(serving.line("Victim's link"))[0] == 200
    assert serving.get(serving.line("Texts appear at"))[0] == 200
    folders = [Path(folder) for folder in serving.line("Keys").partition(": back")[0].split(" and ")]
    assert load_keys(folders[0], create=False)
    assert all(any(folder.iterdir()) for folder in folders)
    assert serving.get("/readyz")[0] == 200
    assert set(serving.children()) == PARTS
    assert "Traceback" not in serving.log.read_text(), "a start at which all went well"


def test_what_is_not_http_is_one_line_in_the_log_that_does_not_say_whose(serving):
    with socket.create_connection(("127.0.0.1", serving.port)) as caller:
        caller.sendall(b"GET /j/" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n")
        assert caller.recv(4096).startswith(b"HTTP/1.0 431 ")
    [line] = wait_for(
        "the line in the log",
        lambda: [line for line in serving.log.read_text().splitlines() if "request_not_read" in line],
    )
    told = json.loads(line)
    assert (told["status"], told["level"]) == (431, "info")
    assert "127.0.0.1" not in line
    assert "exception" not in told


def test_the_printed_password_signs_the_officer_in(serving):
    origin = f"http://127.0.0.1:{serving.port}"
    form = urllib.parse.urlencode({"username": "smith", "password": serving.line("Booth").rpartition(" ")[2]})
    request = urllib.request.Request(f"{origin}/sign-in", data=form.encode(), headers={"Origin": origin})

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object) -> None:
            return None

    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(Stay).open(request)
    assert answer.value.code == 303
    assert answer.value.headers["Location"] == "/booth"


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_killed_part_comes_back_and_the_others_stay(serving, part):
    before = serving.children()
    os.kill(before[part], signal.SIGKILL)
    wait_for(f"a new {part}", lambda: serving.children().get(part, before[part]) != before[part])
    wait_for("health", lambda: serving.get("/readyz")[0] == 200)
    after = serving.children()
    assert {name: pid for name, pid in after.items() if name != part} == {
        name: pid for name, pid in before.items() if name != part
    }


def test_whoever_connects_while_web_restarts_waits_instead_of_being_refused(serving):
    os.kill(serving.children()["web"], signal.SIGKILL)
    assert serving.get("/healthz")[0] == 200


def test_a_second_server_on_the_same_folder_is_refused(serving):
    second = run("serve", "--demo", "--port", str(find_free_port()), "--data", str(serving.data))
    assert_refused(second, "Another video-server is already running")


def test_a_port_in_use_is_refused(serving, tmp_path):
    second = run("serve", "--demo", "--port", str(serving.port), "--data", str(tmp_path / "data"))
    assert_refused(second, f"Port {serving.port} is in use")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_even_in_the_background_and_the_next_start_finds_all_again(tmp_path, number):
    first = Serving(tmp_path / "data", ignore_sigint=True).wait_until_ready()
    children = first.children()
    assert set(children) == PARTS
    assert first.stop(number) == 0
    assert [name for name, pid in children.items() if is_alive(pid)] == []
    with pytest.raises(urllib.error.URLError):
        first.get("/healthz")

    second = Serving(tmp_path / "data", port=first.port).wait_until_ready()
    try:
        assert second.lines == first.lines
        assert second.get(second.line("Victim's link"))[0] == 200
    finally:
        second.stop()


def test_a_signal_during_the_start_stops_it(tmp_path):
    server = Serving(tmp_path / "data")
    wait_for("the first child", server.children)
    children = server.children()
    assert server.stop() == 0
    assert [name for name, pid in children.items() if is_alive(pid)] == []


def test_children_end_when_the_parent_is_killed(tmp_path):
    server = Serving(tmp_path / "data").wait_until_ready()
    children = server.children()
    server.stop(signal.SIGKILL)
    wait_for("the end of the children", lambda: not any(is_alive(pid) for pid in children.values()))


def names_in(certificate: bytes) -> set[x509.GeneralName]:
    """Return the names and addresses that a certificate is for."""
    found = x509.load_pem_x509_certificate(certificate).extensions
    return set(found.get_extension_for_class(x509.SubjectAlternativeName).value)


def reaches(server: Serving, link: str, trust: ssl.SSLContext) -> bool:
    """Say whether a link leads somewhere, while its address is this machine's: tests beside this one have cables."""
    try:
        return server.get(link, trust=trust)[0] == 200
    except OSError:
        return urllib.parse.urlsplit(link).hostname not in own_addresses()


def test_a_self_signed_demo_speaks_https_to_the_machines_addresses_and_keeps_its_certificate(tmp_path):
    kept, before = tmp_path / "data" / "demo" / "tls" / "cert.pem", None
    for _ in range(2):
        server = Serving(tmp_path / "data", "--tls", "self-signed", "--host", "0.0.0.0").wait_until_ready()
        try:
            trust = ssl.create_default_context(cafile=kept)
            link = server.line("Victim's link")
            assert link.startswith("https://")
            assert reaches(server, link, trust)
            assert server.get(f"https://localhost:{server.port}/healthz", trust=trust)[0] == 200
            now = kept.read_bytes()
            assert before in {None, now} or not names_in(now) <= names_in(before), "made anew without a new address"
            before = now
        finally:
            assert server.stop() == 0


def test_a_certificate_is_made_anew_for_a_new_address(tmp_path):
    make_certificate(tmp_path, hosts=["localhost", "192.0.2.1"], now=utc_now())
    first = (tmp_path / "cert.pem").read_bytes()
    make_certificate(tmp_path, hosts=["localhost"], now=utc_now())
    assert (tmp_path / "cert.pem").read_bytes() == first
    make_certificate(tmp_path, hosts=["localhost", "192.0.2.2"], now=utc_now())
    assert (tmp_path / "cert.pem").read_bytes() != first
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_demo_that_phones_reach_without_tls_says_what_they_need(tmp_path):
    server = Serving(tmp_path / "data", "--host", "0.0.0.0")
    try:
        server.wait_until_ready()
        assert server.process.stdout is not None
        said = server.process.stdout.readline()
        assert "TLS=self-signed" in said
        assert "sign in" in said
    finally:
        server.stop()


def assert_refused(ended, sentence: str) -> None:
    """One clear line on standard error, no traceback, a code that scripts notice."""
    assert ended.returncode == 1, (ended.stdout, ended.stderr)
    assert ended.stdout == ""
    assert sentence in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr


def test_an_unknown_setting_is_named(tmp_path):
    ended = run("serve", "--demo", "--data", str(tmp_path), env={"VIDEO_PROT": "1"})
    assert_refused(ended, "VIDEO_PROT")


def test_a_wrong_setting_is_named(tmp_path):
    ended = run("serve", "--demo", "--data", str(tmp_path), "--port", "99999")
    assert_refused(ended, "VIDEO_PORT")


def test_a_settings_file_that_is_missing_or_wrong_is_told(tmp_path):
    assert_refused(run("serve", "--config", str(tmp_path / "none")), "was not found")
    (tmp_path / "settings").write_text("VIDEO_PROT=1\n")
    assert_refused(run("serve", "--config", str(tmp_path / "settings")), "VIDEO_PROT")


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for data in (tmp_path / "file", tmp_path / "file" / "data"):
        assert_refused(run("serve", "--demo", "--data", str(data), "--port", str(find_free_port())), "cannot be used")


def test_a_data_folder_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    # root may write anywhere, so as root the right to do so is given up first
    before = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
    try:
        for data in (tmp_path, tmp_path / "new"):
            ended = run("serve", "--demo", "--data", str(data), "--port", str(find_free_port()), before=before)
            assert_refused(ended, "Permission denied")
    finally:
        tmp_path.chmod(0o755)


def test_a_data_folder_of_another_account_is_refused(tmp_path):
    data = Path("/")
    if os.geteuid() == 0:
        data = tmp_path
        os.chown(data, 65534, 65534)
    ended = run("serve", "--demo", "--data", str(data), "--port", str(find_free_port()))
    assert_refused(ended, "belongs to another account")


def test_a_data_folder_whose_path_is_too_long_for_a_socket_is_refused(tmp_path):
    assert_refused(run("serve", "--demo", "--data", str(tmp_path / ("x" * 100))), "too long")


def test_a_host_that_is_not_ours_is_refused(tmp_path):
    for host in ("203.0.113.9", "no-such-host.invalid"):
        ended = run(
            "serve", "--demo", "--data", str(tmp_path / "data"), "--host", host, "--port", str(find_free_port())
        )
        assert_refused(ended, f"The host {host} is not an address of this machine")


def test_a_relay_port_in_use_ends_the_start_with_its_reason(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        ended = run(
            "serve", "--demo", "--data", str(tmp_path / "data"), "--port", str(find_free_port()),
            env={"VIDEO_MEDIA_PORT": str(port), "VIDEO_LOG_LEVEL": "ERROR"},
        )  # fmt: skip
    assert ended.returncode == 1
    assert f"UDP port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def take_one_of_two_ports(taken: socket.socket) -> int:
    """Take a UDP port above one that is free, of those that the kernel gives nobody by itself; return it."""
    for port in range(29_999, 20_000, -2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as below, suppress(OSError):
            below.bind(("0.0.0.0", port - 1))
            taken.bind(("0.0.0.0", port))
            return port
    raise AssertionError("no two ports are free")


def test_the_second_relay_takes_the_next_port_and_says_when_it_is_in_use(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        port = take_one_of_two_ports(taken)
        ended = run(
            "serve", "--demo", "--data", str(tmp_path / "data"), "--port", str(find_free_port()),
            env={"VIDEO_RELAYS": "2", "VIDEO_MEDIA_PORT": str(port - 1), "VIDEO_LOG_LEVEL": "ERROR"},
        )  # fmt: skip
    assert ended.returncode == 1
    assert f"UDP port {port}:" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"VIDEO_RELAYS": "0"}, "VIDEO_RELAYS_ELSEWHERE"), ({"VIDEO_MEDIA_PORT": "65535"}, "VIDEO_MEDIA_PORT")],
)
def test_relays_that_cannot_be_are_refused(tmp_path, settings, sentence):
    ended = run("serve", "--demo", "--data", str(tmp_path / "data"), env={"VIDEO_RELAYS": "2"} | settings)
    assert_refused(ended, sentence)


def test_an_operator_drains_a_relay_looks_at_all_and_lets_it_go_on(tmp_path):
    server = Serving(tmp_path / "data", env={"VIDEO_RELAYS": "2"}).wait_until_ready()
    try:
        two = {"VIDEO_RELAYS": "2", "VIDEO_DATA": str(tmp_path / "data")}
        assert run("drain", "2", "--wait", env=two).stdout.splitlines() == [
            "Relay 2 takes no new calls; it has 0 under way.",
            "Relay 2 has no call any more and may be stopped.",
        ]
        assert "takes no new calls" in run("doctor", "--demo", env=two).stdout
        wait_for("the other one to take them", lambda: server.get("/readyz")[0] == 200)
        run("drain", "1", env=two)
        wait_for("no relay to take a call", lambda: server.get("/readyz")[0] == 503)
        assert run("drain", "1", "--off", env=two).stdout == "Relay 1 takes new calls again.\n"
        wait_for("readiness", lambda: server.get("/readyz")[0] == 200)
        assert "There are: 1, 2." in run("drain", "3", env=two).stderr
    finally:
        server.stop()


def test_a_relay_on_another_machine_is_controlled_by_tls_drained_and_taken_back_when_it_died(tmp_path):
    tls, port, secret = tmp_path / "tls", find_free_port(), "5e" * 32
    make_certificate(tls, hosts=["localhost"], now=utc_now())
    alone = {"VIDEO_RELAY_LISTEN": f"127.0.0.1:{port}", "VIDEO_RELAY_TLS": str(tls), "VIDEO_RELAY_SECRET": secret}
    web = {
        "VIDEO_RELAYS": "0",
        "VIDEO_RELAYS_ELSEWHERE": json.dumps({"north": f"localhost:{port}"}),
        "VIDEO_RELAY_SECRET": secret,
        "VIDEO_RELAY_TRUST": str(tls / "cert.pem"),
        "VIDEO_DATA": str(tmp_path / "data"),
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, "relay"], stdin=subprocess.DEVNULL, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT), **alone)
        )

    relay = start()
    try:
        server = Serving(tmp_path / "data", env=web).wait_until_ready()
        try:
            assert "relay" not in server.children()
            assert "north takes no new calls" in run("drain", "north", env=web).stdout
            wait_for("no relay to take a call", lambda: server.get("/readyz")[0] == 503)
            relay.kill()
            relay.wait()
            relay = start()  # it goes on draining
            wait_for("the relay", lambda: "takes no new calls" in run("doctor", "--demo", env=web).stdout)
            assert server.get("/readyz")[0] == 503
            assert "north takes new calls again" in run("drain", "north", "--off", env=web).stdout
            wait_for("readiness", lambda: server.get("/readyz")[0] == 200)
            assert "WRONG  relays" in run("doctor", "--demo", env=web | {"VIDEO_RELAY_SECRET": "5f" * 32}).stdout
            assert "well   relays" in run("doctor", "--demo", env=web).stdout
        finally:
            server.stop()
    finally:
        relay.terminate()
        assert relay.wait(PATIENCE_SECONDS) == 0
    assert not (tmp_path / "data" / "run" / "relay-1.sock").exists()


REAL = {
    "VIDEO_PUBLIC_URL": "https://video.example.police.uk",
    "VIDEO_TWILIO_ACCOUNT": "AC0",
    "VIDEO_TWILIO_TOKEN": "secret",
    "VIDEO_TWILIO_SENDER": "MG0",
    "VIDEO_BEHIND_PROXY": "true",
}


@pytest.mark.parametrize(
    ("settings", "options", "sentence"),
    [
        pytest.param({"VIDEO_TEXTS": "screen"}, [], "VIDEO_TEXTS=screen", id="on-screen outbox"),
        pytest.param({}, ["--tls", "self-signed"], "self-signed is for --demo only", id="self-signed certificate"),
        pytest.param({"VIDEO_KEYS": ""}, [], "VIDEO_KEYS", id="keys not named"),
        pytest.param({"VIDEO_KEYS": "{data}/keys"}, [], "outside the data folder", id="keys inside the data folder"),
        pytest.param({}, ["--host", "0.0.0.0"], "can be overheard", id="plain HTTP off loopback"),
        pytest.param({"VIDEO_PUBLIC_URL": ""}, [], "VIDEO_PUBLIC_URL", id="no public address"),
        pytest.param({"VIDEO_PUBLIC_URL": "http://a.example"}, [], "VIDEO_PUBLIC_URL", id="public address not https"),
        pytest.param({"VIDEO_TWILIO_TOKEN": ""}, [], "VIDEO_TWILIO_TOKEN", id="no way to send texts"),
        pytest.param({"VIDEO_BEHIND_PROXY": ""}, [], "VIDEO_BEHIND_PROXY", id="HTTPS promised, spoken by nobody"),
    ],
)
def test_without_demo_what_is_only_fit_for_a_demo_is_refused(tmp_path, settings, options, sentence):
    data = tmp_path / "data"
    given = REAL | {"VIDEO_KEYS": str(tmp_path / "keys")} | settings
    given = {name: value.format(data=data) for name, value in given.items() if value}
    ended = run("serve", "--data", str(data), "--port", str(find_free_port()), *options, env=given)
    assert_refused(ended, sentence)
    assert not data.exists()


def test_for_real_use_it_runs_from_a_file_of_settings_behind_a_proxy(tmp_path):
    file = tmp_path / "settings"
    more = {
        "VIDEO_KEYS": str(tmp_path / "keys"),
        "VIDEO_BEHIND_PROXY": "true",
        "VIDEO_MEDIA_ADDRESSES": '["127.0.0.1"]',
    }
    file.write_text("".join(f"{name}={value}\n" for name, value in (REAL | more).items()))
    file.chmod(0o600)
    server = Serving(tmp_path / "data", "--config", str(file), demo=False).wait_until_ready()
    try:
        assert server.lines[0] == "Video appointments are running at https://video.example.police.uk"
        assert server.get("/readyz")[0] == 200
        assert server.get("/demo/texts")[0] == 404
        assert server.get("/sign-in")[0] == 200
        assert not (tmp_path / "data" / "demo").exists()
        assert stat.S_IMODE((tmp_path / "keys" / "link.key").stat().st_mode) == 0o600
    finally:
        assert server.stop() == 0


def test_a_folder_that_a_demo_has_used_is_refused_for_real_use_and_the_other_way_round(tmp_path):
    given = REAL | {"VIDEO_KEYS": str(tmp_path / "keys")}
    (tmp_path / "demo" / "demo").mkdir(parents=True)
    (tmp_path / "demo" / "demo" / "README").write_text("")
    assert_refused(run("serve", "--data", str(tmp_path / "demo"), env=given), "holds a demo")
    assert run("prepare", env=given | {"VIDEO_DATA": str(tmp_path / "real")}).returncode == 0
    assert_refused(run("serve", "--demo", "--data", str(tmp_path / "real")), "in real use")


def test_a_key_that_got_lost_stops_the_start_instead_of_being_made_anew(tmp_path):
    given = REAL | {"VIDEO_KEYS": str(tmp_path / "keys"), "VIDEO_DATA": str(tmp_path / "data")}
    assert run("prepare", env=given).returncode == 0
    assert run("prepare", env=given).returncode == 0
    (tmp_path / "keys" / "link.key").unlink()
    assert_refused(run("prepare", env=given), "restore it from its backup")
    assert not (tmp_path / "keys" / "link.key").exists()


@pytest.mark.parametrize(
    ("host", "only_us"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_only_loopback_counts_as_loopback(host, only_us):
    assert is_loopback(host) is only_us


def test_nothing_starts_before_pages_and_fonts_are_built_and_what_is_missing_is_named(monkeypatch):
    checks.check_built()
    monkeypatch.setattr(checks, "_BUILT", (*checks._BUILT, ROOT / "static/dist/none.css"))
    with pytest.raises(CannotStart, match=r"\(static/dist/none\.css\): run 'make setup'"):
        checks.check_built()
