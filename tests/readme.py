"""The tables of README.md that follow from the code. `make readme` writes them anew."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

import video_server
from video_server.app import make_app
from video_server.config import PREFIX, Settings, load
from video_server.core.errors import Refusal
from video_server.core.keys import load_keys
from video_server.web.guards import guard_of

README = Path(__file__).parent.parent / "README.md"


def settings_table() -> str:
    """One row a setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        rows.append(f"| `{PREFIX}{name.upper()}` | {_say(default)} | {field.description} |")
    return "\n".join(rows)


def _say(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if not default and default != 0:
        return ""
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    if hasattr(default, "isoformat"):
        return f"`{default:%H:%M}`"
    return f"`{default}`"


def routes_table() -> str:
    """One row a path: methods, who may call it, what it does (the first sentence of the handler)."""
    rows = ["| path | who | what |", "| --- | --- | --- |"]
    with TemporaryDirectory() as folder:
        settings = load(demo=True, data=Path(folder), texts="screen")
        app = make_app(settings, load_keys(settings.keys_folder, create=True))
        for route in app.router.routes():
            if route.method == "HEAD" or route.resource is None:
                continue
            said = (inspect.getdoc(inspect.unwrap(route.handler)) or "").partition("\n")[0].replace("|", "\\|")
            rows.append(f"| `{route.method} {route.resource.canonical}` | {guard_of(route.handler)} | {said} |")
    return "\n".join(rows)


def errors_table() -> str:
    """One row a code: HTTP status and the public sentence in English."""
    for module in pkgutil.walk_packages(video_server.__path__, "video_server."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    family: list[type[Refusal]] = [Refusal]
    for kind in family:
        family += [child for child in kind.__subclasses__() if child.__module__.startswith("video_server.")]
    family.sort(key=lambda kind: (kind.__module__, kind.__name__))  # whatever was imported first
    by_code = {kind.code: f"| `{kind.code}` | {kind.status} | {kind.public} |" for kind in family}
    return "\n".join(
        [
            "| code | status | what people are told |",
            "| --- | --- | --- |",
            *(by_code[code] for code in sorted(by_code)),
        ]
    )


TABLES: Mapping[str, Callable[[], str]] = {"settings": settings_table, "routes": routes_table, "errors": errors_table}


def written(name: str) -> str:
    """Return a table as it stands in the README."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", README.read_text(), re.DOTALL)
    assert found, f"README.md has no table between <!-- {name} --> and <!-- /{name} -->"
    return found[1]


def write() -> None:
    """Put every table in its place."""
    text = README.read_text()
    for name, make in TABLES.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(marks, lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", text, flags=re.DOTALL)
    README.write_text(text)


if __name__ == "__main__":
    write()
