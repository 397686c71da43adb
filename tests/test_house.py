"""The house keeps its shape: every failure names the file and the line."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import inspect as look_at
from typer.main import get_command

from evidence_store.cli import cli as store_cli
from evidence_store.model import Action
from evidence_store.openapi import document
from evidence_store.tokens import Scope
from tests import house, readme
from tests.house import ROOT
from video_server import migrations
from video_server.core.database import Database
from video_server.web import guards

PYTHON = ("video_server/**/*.py", "evidence_store/**/*.py")


@pytest.mark.parametrize(
    ("rule", "globs"),
    [
        (house.check_line, PYTHON),
        (house.check_slices_are_known, PYTHON[:1]),
        (house.check_apart, PYTHON),
        (house.check_doors, PYTHON),
        (house.check_verifier, ("evidence_store/court/verify.py",)),
        (house.check_clock, PYTHON),
        (house.check_sql, PYTHON),
        (house.check_python_messages, PYTHON),
        (house.check_template, ("templates/**/*.html", "evidence_store/view/templates/*.html")),
        (house.check_speaking_js, ("static/js/*.js",)),
        (
            house.check_any_js,
            ("static/js/**/*.js", "static/pages/**/*.js", "evidence_store/view/static/*.js"),
        ),
        (
            house.check_registries,
            ("*.*", "Makefile", ".npmrc", ".ci/*", "deploy/*.*", "tests/**/*.py", "templates/**/*.html", *PYTHON),
        ),
    ],
    ids=lambda value: value.__name__.removeprefix("check_") if callable(value) else "",
)
def test_the_rule_is_kept(rule, globs):
    faults = house.faults_of(rule, *globs)
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house.check_line, "video_server/phone/a.py", "from video_server.booth import state"),
        (house.check_line, "video_server/phone/a.py", "def f():\n    import video_server.desk.views"),
        (house.check_line, "video_server/texts/a.py", "from video_server.appointments import service"),
        (house.check_line, "video_server/texts/a.py", "from ..appointments import service"),
        (house.check_line, "video_server/core/a.py", "from video_server.web import pages"),
        (house.check_line, "video_server/calls/a.py", "from video_server.config import load"),
        (house.check_line, "video_server/booth/a.py", "from video_server.calls import storage"),
        (house.check_line, "video_server/booth/a.py", "from video_server.calls.storage import rooms"),
        (house.check_line, "video_server/scheduler.py", "from video_server.texts import storage"),
        (house.check_slices_are_known, "video_server/new/a.py", ""),
        (house.check_apart, "video_server/relay/a.py", "from video_server.core import keys"),
        (house.check_apart, "video_server/relay/a.py", "from video_server.web import pages"),
        (house.check_apart, "evidence_store/a.py", "import video_server"),
        (house.check_apart, "video_server/phone/a.py", "from evidence_store.ledger import x"),
        (house.check_doors, "video_server/relay/engine.py", "from aiortc import RTCCertificate"),
        (house.check_doors, "video_server/texts/worker.py", "import twilio.rest"),
        (house.check_doors, "video_server/web/a.py", "import hashlib"),
        (house.check_doors, "evidence_store/media/service.py", "from PIL import Image"),
        (house.check_doors, "evidence_store/objects/views.py", "from evidence_store.media import films"),
        (house.check_doors, "video_server/web/a.py", "from secrets import token_hex"),
        (house.check_doors, "video_server/phone/a.py", "import random"),
        (house.check_doors, "video_server/phone/service.py", "from sqlalchemy import select"),
        (house.check_verifier, "evidence_store/court/verify.py", "from evidence_store import merkle"),
        (house.check_verifier, "evidence_store/court/verify.py", "def f():\n    import requests"),
        (house.check_clock, "video_server/phone/a.py", "import datetime\ndatetime.datetime.now(datetime.UTC)"),
        (house.check_clock, "video_server/phone/a.py", "import time\ntime.time()"),
        (house.check_clock, "video_server/phone/a.py", "from time import time"),
        (house.check_clock, "video_server/a/storage.py", "select(func.now())"),
        (house.check_sql, "video_server/a/storage.py", "db.execute(text(f'SELECT {x}'))"),
        (house.check_sql, "video_server/a/storage.py", "db.execute('SELECT ' + x)"),
        (house.check_sql, "video_server/a/storage.py", "text('SELECT %s' % x)"),
        (house.check_sql, "video_server/a/storage.py", "text('SELECT {}'.format(x))"),
        (house.check_python_messages, "video_server/a.py", "N_(f'You have {n}')"),
        (house.check_python_messages, "video_server/a.py", "N_('a' + b)"),
        (house.check_python_messages, "video_server/a.py", "gettext(f'You have {n}')"),
        (house.check_template, "templates/a.html", "<p>Hello</p>"),
        (house.check_template, "templates/a.html", '<img alt="A cat">'),
        (house.check_template, "templates/a.html", '<p style="color: red">{{ _("x") }}</p>'),
        (house.check_template, "templates/a.html", '<p onclick="go()">{{ _("x") }}</p>'),
        (house.check_template, "templates/a.html", "<script>let x;</script>"),
        (house.check_template, "templates/a.html", "{{ text | safe }}"),
        (house.check_template, "templates/a.html", "{{ _(['a'] | join) }}"),
        (house.check_speaking_js, "static/js/a.js", "const x = document.body;"),
        (house.check_speaking_js, "static/js/a.js", "root.querySelector('p')"),
        (house.check_any_js, "static/pages/a.js", "box.innerHTML = text;"),
        (house.check_any_js, "static/pages/a.js", 'import { x } from "tus-js-client";'),
        (house.check_registries, "requirements.txt", "--index-url https://" + "py" + "pi.org/simple"),
        (house.check_registries, "package-lock.json", '"resol' + 'ved": "https://a.example/x.tgz"'),
    ],
)
def test_the_rule_catches_what_breaks_it_and_names_the_line(rule, path, text):
    faults = rule(path, f"\n{text}")
    assert faults
    assert all(re.match(rf"{re.escape(path)}:\d+: ", fault) for fault in faults)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house.check_line, "video_server/booth/a.py", "from video_server.calls import service, model"),
        (house.check_line, "video_server/booth/a.py", "from . import storage"),
        (house.check_line, "video_server/app.py", "from video_server.booth import views"),
        (house.check_line, "video_server/statistics/a.py", "from video_server.calls import storage"),
        (house.check_doors, "video_server/core/keys.py", "import hmac, secrets"),
        (house.check_doors, "video_server/a/storage/rooms.py", "from sqlalchemy import select"),
        (house.check_doors, "video_server/phone/a.py", "import randomness"),
        (house.check_verifier, "evidence_store/court/verify.py", "import json\nfrom cryptography import exceptions"),
        (house.check_clock, "video_server/core/clock.py", "datetime.now(UTC)"),
        (house.check_clock, "video_server/phone/a.py", "clock.monotonic()"),
        (house.check_sql, "video_server/a/storage.py", "db.execute(text('SELECT 1'))"),
        (house.check_sql, "video_server/core/database.py", "cursor.execute(f'PRAGMA busy_timeout={_BUSY_MS * 10}')"),
        (house.check_python_messages, "video_server/a.py", "gettext(refusal.public)"),
        (house.check_template, "templates/a.html", '{# Words #}<p class="x">{{ _("Hello") }}</p>'),
        (house.check_template, "templates/a.html", "{% block body_class %}app-wide{% endblock %}"),
        (house.check_template, "templates/a.html", '{{ macro({"a": {"text": _("Hello"), "b": {}}}) }}'),
        (house.check_speaking_js, "static/js/a.js", "// the document says so\n/* document.body */"),
        (house.check_any_js, "static/pages/a.js", 'if (a.outerHTML === b.outerHTML) {}\nimport x from "../js/x.js";'),
    ],
)
def test_the_rule_lets_pass_what_is_fine(rule, path, text):
    assert rule(path, text) == []


async def test_every_route_has_a_guard(settings, key_ring):
    from video_server.app import make_app

    open_routes = []
    for route in make_app(settings, key_ring).router.routes():
        if guards.guard_of(route.handler) is None:
            code = inspect.unwrap(route.handler).__code__
            open_routes.append(
                f"{code.co_filename}:{code.co_firstlineno}: {route.method} {route.resource} has no guard"
            )
    assert not open_routes, "\n" + "\n".join(open_routes)


@pytest.mark.parametrize("name", readme.TABLES)
def test_the_readme_tells_what_the_code_says(name):
    written, made = readme.written(name).splitlines(), readme.TABLES[name]().splitlines()
    missing = [f"README.md:1: lacks {row}" for row in made if row not in written]
    stale = [f"README.md:1: no longer true: {row}" for row in written if row not in made]
    assert written == made, "run 'make readme'\n" + "\n".join(missing + stale)


def test_the_stores_readme_names_every_path_word_command_and_option():
    written = (ROOT / "evidence_store/README.md").read_text()

    def is_named(*ways: str) -> bool:
        return any(way in written for way in ways)

    missing = [
        path for path in document()["paths"] if not is_named(f"{path}`", f"{path}?", f"`…/{path.rpartition('/')[2]}`")
    ]
    missing += [word.value for kind in (Action, Scope) for word in kind if not is_named(f"`{word.value}`")]
    top = get_command(store_cli).commands
    missing += [name for name in top if not is_named(f"evidence-store {name} ")]
    under = {name: one for command in top.values() for name, one in getattr(command, "commands", {}).items()}
    missing += [
        name for name in under if not is_named(f"evidence-store token {name} ", f"evidence-store token [{name}] ")
    ]
    for command in (*top.values(), *under.values()):
        ways = [[*param.opts, *param.secondary_opts] for param in command.params]
        missing += [names[0] for names in ways if names[0].startswith("--") and not is_named(*names)]
    assert not missing, "\n" + "\n".join(f"evidence_store/README.md:1: does not name {name}" for name in missing)


@pytest.mark.parametrize(
    ("code", "templates"), [("video_server", "templates"), ("evidence_store", "evidence_store/view/templates")]
)
def test_every_template_is_used_and_every_template_used_exists(code, templates):
    named: dict[str, str] = {}
    for path, text in house.sources(f"{code}/**/*.py"):
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"[\w/-]+\.html", node.value)
            ):
                named.setdefault(node.value, f"{path}:{node.lineno}")
    for path, text in house.sources(f"{templates}/**/*.html"):
        for match in re.finditer(r"{%-?\s*(?:extends|include|import|from)\s+\"([\w/-]+\.html)\"", text):
            named.setdefault(match[1], f"{path}:{house.line_of(text, match)}")
    there = {str(file.relative_to(ROOT / templates)) for file in (ROOT / templates).rglob("*.html")}
    unused = [f"{templates}/{name}:1: nothing renders, extends or includes this" for name in sorted(there - set(named))]
    gone = [f"{named[name]}: {name} does not exist" for name in sorted(set(named) - there) if "govuk" not in name]
    assert not unused + gone, "\n" + "\n".join(unused + gone)


def test_every_template_can_be_compiled(settings):
    from video_server.web.pages import make_environment

    environment = make_environment(settings.force(), demo=True)
    for path, text in house.sources("templates/**/*.html"):
        environment.compile(text, filename=path)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'migrated.sqlite'}"


async def test_migrations_make_exactly_the_tables_of_the_code(url):
    def differ(connection: SyncConnection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), migrations.all_tables()))

    await migrations.upgrade(url)
    await migrations.upgrade(url)
    database = Database(url)
    try:
        async with database.read() as db:
            differences = await db.run_sync(differ)
    finally:
        await database.dispose()
    assert not differences, "\n".join(f"video_server/migrations/versions:1: {difference}" for difference in differences)


async def test_migrations_can_be_taken_back(url):
    await migrations.upgrade(url)
    await migrations.downgrade(url)
    database = Database(url)
    try:
        async with database.read() as db:
            left = await db.run_sync(lambda connection: set(look_at(connection).get_table_names()))
    finally:
        await database.dispose()
    assert left <= {"alembic_version", "sqlite_sequence"}


def test_every_file_of_ours_has_words_about_itself():
    bare = [
        f"{path}:1: says nothing of what it is for"
        for path, text in house.sources("video_server/**/*.py", "tests/**/*.py")
        if text.strip() and ast.get_docstring(ast.parse(text)) is None
    ]
    assert not bare, "\n" + "\n".join(bare)
