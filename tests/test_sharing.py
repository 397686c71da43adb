"""The suite itself: who runs where, and what a test that ends its process, because it hung or crashed, costs others."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import find_free_port

ENDS = """
import os

def test_before(): pass

def test_ends(): os._exit(1)

def test_after(): pass
"""


TELLS = """
import os, pathlib, pytest

@pytest.mark.parametrize("n", range(COUNT))
def test_it(n):
    place = pathlib.Path(__file__).with_name(os.environ["PYTEST_XDIST_WORKER"])
    with place.open("a") as file:
        file.write(f"{pathlib.Path(__file__).stem} {os.nice(0)}\\n")
"""

UNSTEADY = """
BROWSER
import pathlib

def test_it():
    place = pathlib.Path(__file__).with_name("runs")
    runs = place.read_text() if place.exists() else ""
    place.write_text(runs + "x")
    assert len(runs) in PASSING

def test_other(): pass
"""
ROOT = Path(__file__).parents[1]


def run(folder: Path, processes: int) -> str:
    """Run the tests of a folder, shared as the suite is; return what is said, and the code it ends with."""
    (folder / "pytest.ini").write_text("[pytest]")
    options = ["-p", "tests.sharing", "-p", "tests.again", "--again", "--rootdir", folder]
    command = [sys.executable, "-m", "pytest", *options, "-n", str(processes), "--dist", "loadscope", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return f"{done.stdout}{done.stderr}\nended with {done.returncode}"


def test_a_test_that_ends_its_process_fails_alone_and_is_not_run_again(tmp_path):
    (tmp_path / "test_ending.py").write_text(ENDS)
    said = run(tmp_path, 1)
    assert "1 failed, 2 passed" in said, said
    assert "crashed while running 'test_ending.py::test_ends'" in said


def test_calls_begin_at_once_stay_on_one_process_and_are_served_first(tmp_path):
    for name, count, text in (
        ("some", 3, ""),
        ("many", 5, ""),
        ("one", 1, "# test_journeys"),
        ("two", 1, "# test_journeys"),
    ):
        (tmp_path / f"test_{name}.py").write_text(TELLS.replace("COUNT", str(count)) + text)
    said = run(tmp_path, 2)
    assert "10 passed" in said, said
    own = os.nice(0)
    ran = [[line.split() for line in place.read_text().splitlines()] for place in tmp_path.glob("gw?")]
    [calls] = [tests for tests in ran if ["test_one", str(own)] in tests]
    assert calls[:2] == [["test_one", str(own)], ["test_two", str(own)]]
    assert [nice for tests in ran for _, nice in tests].count(str(own + 5)) == 8


@pytest.mark.parametrize(
    ("browser", "passing", "runs", "code"),
    [
        ("import playwright", "(1, 2, 3)", 4, 0),
        ("import playwright", "(1, 2)", 4, 1),
        ("import playwright", "()", 2, 1),
        ("", "(1, 2)", 1, 1),
    ],
)
def test_what_fails_in_a_browser_alone_may_try_again_and_must_pass_every_time(tmp_path, browser, passing, runs, code):
    (tmp_path / "test_unsteady.py").write_text(UNSTEADY.replace("BROWSER", browser).replace("PASSING", passing))
    said = run(tmp_path, 1)
    assert (tmp_path / "runs").read_text() == "x" * runs, said
    assert said.endswith(f"ended with {code}")
    assert ("UNSTEADY test_unsteady.py::test_it: failed above" in said) == (code == 0)


def test_what_fails_beside_many_others_is_not_tried_again(tmp_path):
    for n in range(3):
        (tmp_path / f"test_{n}.py").write_text("import playwright\n\ndef test_it(): assert False")
    said = run(tmp_path, 1)
    assert "3 failed" in said, said
    assert "AGAIN" not in said
    assert said.endswith("ended with 1")


def test_a_free_port_is_kept_for_the_server_that_is_told_its_number():
    port = find_free_port()
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind(("127.0.0.1", port))
    for host in ("127.0.0.1", ""):
        socket.create_server((host, port)).close()
