"""Print a statement: PDF/A-3a and PDF/UA-1 by typst, then signed (PAdES) so that a changed byte shows.

Both steps are pure computing: call `Printer.print` in a thread.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko_certvalidator.registry import SimpleCertificateStore

from evidence_store.typesetting import MissingGlyph, typeset
from video_server.core.errors import N_, Refusal, Unavailable
from video_server.core.keys import SigningIdentity
from video_server.statements.certificates import Interpretation, Reading, SignedAt
from video_server.statements.declaration import Declaration, get_words
from video_server.statements.languages import FONT_FOLDERS, find_language
from video_server.statements.model import Statement
from video_server.statements.signature import Signature, draw_svg

SIGNATURE_FIELD = "Statement"
_TEMPLATE = Path(__file__).parent / "statement.typ"


class CannotPrint(Refusal):
    """A character has no glyph; `characters` says which, for the officer."""

    code = "statement_cannot_print"
    status = 422
    public = N_("The statement holds a character that cannot be printed, such as an emoji. Write it in words.")

    def __init__(self, characters: str) -> None:
        super().__init__()
        self.characters = characters


class SigningNotSetUp(Unavailable):
    """No signing key: the operator sets VIDEO_SIGNING_KEY."""

    code = "signing_not_set_up"
    public = N_("Statements cannot be signed yet. Tell whoever runs this system that the signing key is missing.")


@dataclass(frozen=True)
class Taken:
    """Who took the statement, and of which incident."""

    officer: str
    reference: str


@dataclass(frozen=True)
class Signing:
    """How a statement came to be signed.

    signed_on  the date and time in words, local
    word       "right", "wrong", "none": what came of the agreed word
    digest     SHA-256 of what was shown
    reading    the reader's certificate, when the witness cannot read; read_on its date and time in words
    interpreters    what the interpreter declares, and interpretation what they signed, when somebody interpreted;
                    interpreted_on its date and time in words
    shown      exactly what was shown and signed, whose SHA-256 is `digest`: attached when somebody interpreted, because
               many scripts cannot be copied out of a printed page as they were written
    """

    signature: Signature
    signed_at: datetime
    signed_on: str
    device: str
    word: str
    digest: str
    reading: Reading | None = None
    read_on: str = ""
    interpreters: Declaration | None = None
    interpretation: Interpretation | None = None
    interpreted_on: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Printer:
    """Prints and signs for one force. Without an identity it only prints."""

    force: str
    identity: SigningIdentity | None
    declarations: Mapping[str, str] = field(default_factory=dict)

    @property
    def marks_demo(self) -> bool:
        """Say whether the page must say DEMO."""
        return self.identity is None or self.identity.is_demo

    def print(self, statement: Statement, declaration: Declaration, taken: Taken, signing: Signing) -> bytes:
        """Return the signed PDF. Raises CannotPrint, SigningNotSetUp."""
        if self.identity is None:
            raise SigningNotSetUp
        page = self.render(statement, declaration, taken, signing)
        return sign_pdf(page, self.identity, name=self.force, at=signing.signed_at)

    def render(self, statement: Statement, declaration: Declaration, taken: Taken, signing: Signing) -> bytes:
        """Return the PDF before it is signed. Raises CannotPrint."""
        data = _collect(statement, declaration, taken, signing)
        data |= {"force": self.force, "demo": self.marks_demo}
        return render_pdf(data, at=signing.signed_at)

    def try_out(
        self,
        statement: Statement,
        declaration: Declaration,
        taken: Taken,
        interpreters: Declaration | None = None,
        *,
        now: datetime,
    ) -> None:
        """Raise CannotPrint, or SigningNotSetUp, before the witness reads what could not be printed in the end."""
        if self.identity is None:
            raise SigningNotSetUp
        stroke = ((0.0, 0.0, 0, 0.5), (1.0, 1.0, 1, 0.5))
        reader = statement.heading.reader_name
        reading = Reading(reader, now, "", taken.officer) if reader else None
        interpreter = statement.heading.interpreter_name
        interpretation = Interpretation(interpreter, now, SignedAt.CALL, "") if interpreters else None
        unsigned = Signing(
            Signature(2, 2, (stroke,)), now, "", "", "none", "", reading, "", interpreters, interpretation
        )
        self.render(statement, declaration, taken, unsigned)


PRINTER = web.AppKey("printer", Printer)


def _collect(statement: Statement, declaration: Declaration, taken: Taken, signing: Signing) -> dict[str, Any]:
    words, heading, signature = get_words(statement.language), statement.heading, signing.signature
    how = words["how_text"].format(device=signing.device, word=words[f"word_{signing.word}"])
    return {
        "words": words,
        "language": statement.language,
        "title": f"{words['title']} {taken.reference} {statement.number}",
        "name": heading.name,
        "age": words["over_18"] if heading.age is None else str(heading.age),
        "reference": taken.reference,
        "number": str(statement.number),
        "declaration": declaration.text,
        "provision": declaration.provision,
        "paragraphs": [paragraph.text for paragraph in statement.paragraphs],
        "exhibits": [{"mark": one.mark, "description": one.description} for one in statement.exhibits],
        "reading": _write_reading(words, signing),
        "interpreting": _write_interpreting(words, statement, signing),
        "typed": signature.typed,
        "drawing": "" if signature.typed else draw_svg(signature),
        "signature_alt": f"{words['signature']}: {heading.name}",
        "signed_at": signing.signed_on,
        "taken_by": taken.officer,
        "how": how,
        "digest": signing.digest,
    }


def _write_reading(words: Mapping[str, str], signing: Signing) -> dict[str, str] | None:
    """Return the reader's certificate (Criminal Justice Act 1967, s.9(3)(b)); None when the witness reads."""
    if signing.reading is None:
        return None
    how = words["read_how"].format(officer=signing.reading.officer)
    return {"typed": signing.reading.typed, "read_on": signing.read_on, "how": how}


def _write_interpreting(words: Mapping[str, str], statement: Statement, signing: Signing) -> dict[str, Any] | None:
    """Return the text in the witness's language and the interpreter's declaration; None when nobody interpreted."""
    spoken = find_language(statement.heading.spoken, named_in=statement.language)
    given, declaration = signing.interpretation, signing.interpreters
    if spoken is None or given is None or declaration is None:
        return None
    return {
        "name": statement.heading.interpreter_name,
        "language": spoken.name,
        "lang": spoken.tag.partition("-")[0],
        "direction": spoken.direction,
        "font": spoken.font,
        "about": words["original_about"].format(language=spoken.name),
        "originals": [paragraph.original for paragraph in statement.paragraphs],
        "declaration": declaration.text,
        "provision": declaration.provision,
        "typed": given.typed,
        "how": words[f"interpreter_{given.where}"].format(officer=given.officer, device=given.device),
        "signed_on": signing.interpreted_on,
        "shown": signing.shown,
    }


@cache
def _template() -> bytes:
    return _TEMPLATE.read_bytes()


def render_pdf(data: Mapping[str, Any], *, at: datetime) -> bytes:
    """Typeset; `at` is the date written into the file. Raises CannotPrint."""
    try:
        return typeset(_template(), data, at=at, fonts=FONT_FOLDERS)
    except MissingGlyph as missing:
        raise CannotPrint(missing.characters) from None


def sign_pdf(page: bytes, identity: SigningIdentity, *, name: str, at: datetime) -> bytes:
    """Return the PDF with a signature over the whole file (PAdES baseline B), invisible on the page."""
    registry = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    registry.register_multiple(asn1_x509.Certificate.load(one) for one in identity.chain_der)
    signer = signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(identity.certificate_der),
        signing_key=asn1_keys.PrivateKeyInfo.load(identity.key_der),
        cert_registry=registry,
    )
    meta = signers.PdfSignatureMetadata(
        field_name=SIGNATURE_FIELD,
        md_algorithm="sha256",
        subfilter=fields.SigSeedSubFilter.PADES,
        name=name,
        certify=True,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
    )
    out = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(page), strict=True)
    _Signer(meta, signer, at=at).sign_pdf(writer, output=out)
    return out.getvalue()


class _Signer(signers.PdfSigner):
    """pyHanko's signer, told the time: left alone it would read the wall clock."""

    def __init__(self, meta: signers.PdfSignatureMetadata, signer: signers.Signer, *, at: datetime) -> None:
        super().__init__(meta, signer)
        self._at = at

    def init_signing_session(self, *args: Any, **named: Any) -> Any:
        session = super().init_signing_session(*args, **named)
        session.system_time = self._at
        return session
