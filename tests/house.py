"""The rules of the house as functions of source text: each returns faults as "path:line: what is wrong"."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import jinja2

ROOT = Path(__file__).parent.parent
Rule = Callable[[str, str], list[str]]
"""Takes a path relative to the root, and the text; returns faults."""

LINE = (
    ("admin", "statistics"),
    ("booth", "phone", "desk"),
    ("chat",),
    ("tracker",),
    ("survey",),
    ("statements",),
    ("evidence",),
    ("calls",),
    ("appointments",),
    ("texts",),
    ("incidents",),
    ("tasks",),
    ("accounts",),
    ("audit",),
    ("web",),
    ("core",),
)
"""Slices from the top down, those of one step side by side; imports run down. Files beside the slices stand above."""

RANK = {name: rank for rank, step in enumerate(LINE) for name in step}
READS_FOREIGN_STORAGE = {"statistics", "migrations"}
RELAY_MAY_IMPORT = ("video_server.relay", *(f"video_server.core.{part}" for part in ("clock", "errors", "log")))
STORE_MAY_BE_USED = ("client", "errors", "merkle", "typesetting", "unreadable")

DOORS: Sequence[tuple[str, str, str]] = (
    (
        r"av|PIL|pillow_heif",
        r"evidence_store/media/(films|papers|pictures)\.py",
        "the evidence store's confined process",
    ),
    (
        r"evidence_store\.media\.(films|papers|pictures)",
        r"evidence_store/media/(worker|films|papers)\.py",
        "the evidence store's confined process",
    ),
    (  # turn.py carries no call: it only asks a TURN server, as an intruder would, what it lets pass
        r"aioice",
        r"video_server/relay/(transport|port|turn)\.py",
        "the relay's transport, its port and its look at TURN servers",
    ),
    (r"aiortc", r"video_server/relay/transport\.py", "the relay's transport"),
    (r"pylibsrtp", r"video_server/relay/(transport|srtp)\.py", "the relay's transport and srtp.py"),
    (r"twilio", r"video_server/texts/gateway\.py", "texts/gateway.py"),
    (
        r"cryptography|hmac|hashlib|pkcs11|ssl\.RAND_bytes|random|uuid",
        r"video_server/core/keys\.py|evidence_store/sealing/.*|evidence_store/court/verify\.py",
        "core/keys.py and the store's sealing/",
    ),
    (
        r"secrets",  # the relay draws SSRCs and ICE names, which guard nothing
        r"video_server/core/keys\.py|video_server/relay/.*|evidence_store/sealing/.*",
        "core/keys.py and the store's sealing/",
    ),
    (
        r"sqlalchemy|alembic|sqlite3|pysqlite3|aiosqlite",
        r".*/storage(\.py|/\w+\.py)|video_server/core/database\.py|video_server/migrations/.*"
        r"|evidence_store/(ledger|database|sqlite)\.py|evidence_store/migrations/.*",
        "storage, core/database.py and migrations",
    ),
    (
        r"asyncpg",
        r"video_server/core/(database|events)\.py|evidence_store/database\.py",
        "core/database.py and the bus, which listens",
    ),
)
"""What is dangerous, the files that may import it, and what to call them."""

CLOCKS = {"video_server/core/clock.py", "evidence_store/clock.py"}
_WALL_CLOCK = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("time", "ctime"),
    ("func", "now"),
    ("func", "current_timestamp"),
}
_RUNS_SQL = {"text", "execute", "executemany", "exec_driver_sql", "executescript", "scalar", "scalars"}
_REGISTRIES = "|".join(
    re.escape(f"{name}.{end}")
    for name, end in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("unpkg", "com"),
        ("jsdelivr", "net"),
        ("crates", "io"),
    )
)


def sources(*globs: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of the files that match, none from caches."""
    for pattern in globs:
        for file in sorted(ROOT.glob(pattern)):
            if file.is_file() and "__pycache__" not in file.parts and "node_modules" not in file.parts:
                yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")


def faults_of(rule: Rule, *globs: str) -> list[str]:
    """Apply a rule to every file that matches; at least one must."""
    found = list(sources(*globs))
    assert found, f"no file matches {globs}"
    return [fault for path, text in found for fault in rule(path, text)]


def imports_of(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything imported, late and type-checking imports included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.removesuffix(".py").split("/")
            base = (
                [*package[: len(package) - node.level], *filter(None, [node.module])] if node.level else [node.module]
            )
            yield from ((node.lineno, ".".join([*map(str, base), alias.name])) for alias in node.names)


def check_line(path: str, text: str) -> list[str]:
    """Imports run down the line only; booth, phone and desk never meet; a slice's storage is its own."""
    parts = Path(path).parts
    own = parts[1] if len(parts) > 2 else ""
    if parts[0] != "video_server" or own == "relay":
        return []
    faults = []
    for line, name in imports_of(path, text):
        target = name.split(".")
        if target[0] != "video_server" or len(target) < 2:
            continue
        other = target[1]
        if own and own != "migrations" and other not in RANK and other != "relay":
            faults.append(f"{path}:{line}: a slice must not import {name}, which stands above all slices")
        elif own in RANK and other in RANK and other != own and RANK[other] <= RANK[own]:
            faults.append(f"{path}:{line}: {own} must not import {name}: imports run down the line only")
        if other != own and other in RANK and "storage" in target[2:3] and own not in READS_FOREIGN_STORAGE:
            faults.append(f"{path}:{line}: {name} is private to {other}: ask its service")
    return faults


def check_slices_are_known(path: str, text: str) -> list[str]:
    """A new folder of the package must be given its place in the line."""
    parts = Path(path).parts
    known = len(parts) < 3 or parts[1] in RANK or parts[1] in {"relay", "migrations", "locale"}
    return [] if known else [f"{path}:1: {parts[1]} has no place in the line of slices (tests/house.py)"]


def check_apart(path: str, text: str) -> list[str]:
    """The relay knows only clock, errors and log of the core; the evidence store knows nothing of video_server."""
    faults = []
    for line, name in imports_of(path, text):
        to_us, to_store = name.startswith("video_server"), name.startswith("evidence_store")
        if path.startswith("video_server/relay/") and (to_us or to_store) and not name.startswith(RELAY_MAY_IMPORT):
            faults.append(f"{path}:{line}: the relay must not import {name}")
        elif path.startswith("evidence_store/") and to_us:
            faults.append(f"{path}:{line}: the evidence store must not import {name}")
        elif path.startswith("video_server/") and to_store and name.split(".")[1] not in STORE_MAY_BE_USED:
            faults.append(f"{path}:{line}: of the evidence store only {', '.join(STORE_MAY_BE_USED)}, not {name}")
    return faults


def check_verifier(path: str, text: str) -> list[str]:
    """What a court checks with stands alone: Python's own library and `cryptography`, and not a line of the store."""
    own = {*sys.stdlib_module_names, "cryptography"}
    return [
        f"{path}:{line}: the verifier must not import {name}: it runs where nothing else is"
        for line, name in imports_of(path, text)
        if name.split(".")[0] not in own
    ]


def check_doors(path: str, text: str) -> list[str]:
    """What is dangerous is imported only behind its door."""
    return [
        f"{path}:{line}: {name} may be used only in {called}"
        for line, name in imports_of(path, text)
        for dangerous, allowed, called in DOORS
        if re.match(rf"(?:{dangerous})(?:\.|$)", name) and not re.fullmatch(allowed, path)
    ]


def check_clock(path: str, text: str) -> list[str]:
    """Only the clocks read the wall clock; everything else is handed `now`."""
    if path in CLOCKS:
        return []
    faults = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in _WALL_CLOCK:
            faults.append(
                f"{path}:{node.lineno}: {_last_name(node.value)}.{node.attr} reads the wall clock: take `now`"
            )
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            taken = [alias.name for alias in node.names if ("time", alias.name) in _WALL_CLOCK]
            faults += [f"{path}:{node.lineno}: time.{name} reads the wall clock: take `now`" for name in taken]
    return faults


def check_sql(path: str, text: str) -> list[str]:
    """SQL is never put together from pieces; only constants of the module (ALL_CAPS) may stand in it."""
    return [
        f"{path}:{node.lineno}: SQL is put together from pieces: bind the value"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and _last_name(node.func) in _RUNS_SQL
        and node.args
        and _is_put_together(node.args[0])
    ]


def _is_put_together(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        inside = [part for value in node.values if isinstance(value, ast.FormattedValue) for part in ast.walk(value)]
        return not all(part.id.isupper() for part in inside if isinstance(part, ast.Name)) or any(
            isinstance(part, ast.Call | ast.Attribute | ast.Subscript) for part in inside
        )
    if isinstance(node, ast.BinOp):
        return any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in (node.left, node.right))
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"format", "join", "replace"}
        and isinstance(node.func.value, ast.Constant)
    )


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def check_python_messages(path: str, text: str) -> list[str]:
    """What is marked for translation is one literal, or the extractor does not see it."""
    return [
        f"{path}:{node.lineno}: {_last_name(node.func)}() needs one plain literal to be extracted"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and node.args and not _can_be_extracted(node)
    ]


def _can_be_extracted(call: ast.Call) -> bool:
    name, said = _last_name(call.func), call.args[0]
    literal = isinstance(said, ast.Constant) and isinstance(said.value, str)
    if name == "N_":
        return literal
    if name in {"gettext", "ngettext"}:  # a name stands for a sentence that N_ marked elsewhere
        return literal or isinstance(said, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
    return True


_JINJA = jinja2.Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.do"], autoescape=True)
_CLASS_BLOCK = re.compile(r"\{% block \w*class %\}.*?\{% endblock %\}", re.DOTALL)
_CALLS = re.compile(r"\b(?:_|gettext|ngettext)\(\s*([^\s)])", re.DOTALL)
_SPOKEN_ATTRIBUTES = {"alt", "title", "aria-label", "placeholder", "aria-description"}


class _Words(HTMLParser):
    """Find words a person reads that stand in the page itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int, str]] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._silent += tag in {"script", "style"}
        for name, value in attributes:
            if name in _SPOKEN_ATTRIBUTES and value and re.search(r"[^\W\d_]{2,}", value):
                self.found.append((self.getpos()[0], value))

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._silent and re.search(r"[^\W\d_]{2,}", data):
            blank = len(data) - len(data.lstrip())
            self.found.append((self.getpos()[0] + data[:blank].count("\n"), data.strip()))


def check_template(path: str, text: str) -> list[str]:
    """Every word in a template goes through gettext; nothing inline that the policy forbids; nothing unescaped."""
    words = _Words()
    shown = _CLASS_BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)  # names of classes are no words
    words.feed(_only(shown, data=True))
    faults = [f"{path}:{line}: {said[:60]!r} is not translated: use _(…)" for line, said in words.found]
    patterns = (
        (r"\sstyle\s*=", "inline styles are refused by the policy"),
        (r"\son[a-z]+\s*=", "inline handlers are refused by the policy"),
        (r"\|\s*safe\b", "nothing leaves a template unescaped"),
        (r"<script(?![^>]*(?:\bsrc=|\bnonce=|type=\"application/json\"))", "inline scripts are refused by the policy"),
    )
    for pattern, why in patterns:
        faults += [f"{path}:{line_of(text, match)}: {why}" for match in re.finditer(pattern, text)]
    for match in _CALLS.finditer(_only(text, data=False)):
        if match[1] not in "\"'" and not match[1].isalpha():
            faults.append(f"{path}:{line_of(text, match)}: _() needs one plain literal to be extracted")
    return faults


def _only(text: str, *, data: bool) -> str:
    """Return a template's page text alone, or its code alone; lines keep their numbers."""
    return "".join(
        value if (kind == "data") is data else "\n" * value.count("\n") for _, kind, value in _JINJA.lex(text)
    )


def line_of(text: str, match: re.Match[str]) -> int:
    """Return the line a match stands in."""
    return text.count("\n", 0, match.start()) + 1


def without_js_comments(text: str) -> str:
    """Blank comments, keeping lines; a `//` inside quotes stays."""
    pattern = r"(\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|/\*.*?\*/|//[^\n]*"
    return re.sub(pattern, lambda m: m[1] or re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def check_speaking_js(path: str, text: str) -> list[str]:
    """What speaks (`static/js`) touches no DOM: page modules draw."""
    return _grep(
        path,
        without_js_comments(text),
        (
            (r"(?<![\w.$])(?:window\.|globalThis\.)?document\b(?!\s*:)", "touches the DOM: leave it to static/pages"),
            (r"\bquerySelector|\bgetElementById|\bHTML[A-Z]\w*Element\b", "touches the DOM: leave it to static/pages"),
        ),
    )


def check_any_js(path: str, text: str) -> list[str]:
    """No markup from data, no code from text, no import that needs a map or a bundler."""
    return _grep(
        path,
        without_js_comments(text),
        (
            (
                r"\b(?:innerHTML|outerHTML)\s*\+?=(?!=)|\binsertAdjacentHTML\b|\bdocument\.write",
                "makes markup from text",
            ),
            (r"\beval\(|new Function\(", "makes code from text"),
            (r"^\s*(?:import|export)\b[^;]*?from\s*[\"'](?!\.)", "bare import: use a relative path"),
            (r"\bimport\(\s*[\"'](?!\.)", "bare import: use a relative path"),
        ),
    )


def check_registries(path: str, text: str) -> list[str]:
    """No file names a registry's host: a fresh machine may have its own."""
    return _grep(
        path, text, ((_REGISTRIES, "names a registry's host"), (r"\"resolved\":\s*\"http", "names an address"))
    )


def _grep(path: str, text: str, patterns: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"{path}:{line_of(text, match)}: {match[0].strip()[:60]!r} {why}"
        for pattern, why in patterns
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
