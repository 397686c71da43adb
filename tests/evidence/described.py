"""Answers of the storage API held against its published description, by a validator that is not ours."""

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from evidence_store.openapi import document


def check(method: str, path: str, status: int, media_type: str, body: Any) -> None:
    """Fail unless the description has this call, this answer, and a body of this form."""
    responses = _operation(path.partition("?")[0])[method.lower()]["responses"]
    content = responses.get(str(status), responses["default"])["content"]
    assert media_type in content, f"{method} {path} answers {status} with {media_type}, which is not described"
    _validator(content[media_type]["schema"]["$ref"]).validate(body)


def _operation(path: str) -> dict[str, Any]:
    found = [methods for template, methods in document()["paths"].items() if _pattern(template).fullmatch(path)]
    assert found, f"{path} is not described"
    return found[0]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", template))


@cache
def _validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": reference, "components": document()["components"]})
