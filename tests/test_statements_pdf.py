"""The printed statement: readable by others, signed over the whole file, safe against what people write."""

import io
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest
from asn1crypto import x509
from pyhanko.pdf_utils.generic import NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from tests.statements_support import DRAFT, NOW, drawn
from video_server.core import keys
from video_server.core.errors import CannotStart
from video_server.core.keys import SigningIdentity, load_demo_signing_identity, load_signing_identity
from video_server.statements.certificates import Interpretation, Reading, SignedAt
from video_server.statements.declaration import get_declaration, get_interpreters_declaration
from video_server.statements.exhibits import Exhibit
from video_server.statements.languages import LANGUAGES, find_language
from video_server.statements.model import Heading, State, Statement
from video_server.statements.printing import CannotPrint, Printer, Signing, Taken
from video_server.statements.signature import Signature

STATEMENT = replace(
    DRAFT,
    number=2,
    state=State.READ,
    version=3,
    text_version=3,
    text="I live at 1 The Street.\n\nIt was dark.\nVery dark.",
    exhibits=(Exhibit("JB/1", "Photo of the door"),),
    offered_at=NOW,
    signed_at=NOW,
)
SIGNING = Signing(drawn(), NOW, "Monday 2 March 2026 at 10am", "iPhone, Safari", "right", "5e" * 32)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return load_demo_signing_identity(tmp_path_factory.mktemp("keys"), now=NOW)


def printed(identity: SigningIdentity, statement: Statement = STATEMENT, signing: Signing = SIGNING) -> bytes:
    declaration = get_declaration(statement.language, {})
    return Printer("Anytown Police", identity).print(
        statement, declaration, Taken("PC Smith 1234", "AP-7F4K-92QD"), signing
    )


def read(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def plain(text: str) -> str:
    return " ".join(text.split())


def validated(pdf: bytes, identity: SigningIdentity):
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    context = ValidationContext(trust_roots=[x509.Certificate.load(identity.certificate_der)], moment=NOW)
    return validate_pdf_signature(signature, context)


def holds(pdf: bytes, identity: SigningIdentity) -> bool:
    """Say whether a checker accepts the file; one it cannot even read it does not."""
    try:
        return validated(pdf, identity).bottom_line
    except (PdfError, ValueError):
        return False


def test_all_that_a_statement_needs_stands_on_the_page(identity):
    text = plain(read(printed(identity)))
    for needed in (
        "Jo Bloggs",
        "18 or over",
        "AP-7F4K-92QD",
        "Statement number 2",
        "JB/1 Photo of the door",
        "It was dark. Very dark.",
        plain(get_declaration("en", {}).text),
        "Criminal Justice Act 1967, section 9(2)(b)",
        "Monday 2 March 2026 at 10am",
        "PC Smith 1234",
        "Pages 1",
        "Page 1 of 1",
        "5e" * 32,
    ):
        assert needed in text, needed


def test_age_and_reader_stand_there_when_they_matter(identity):
    young = replace(STATEMENT, heading=Heading("Jo Bloggs", 15, "PC Smith"))
    aloud = replace(SIGNING, reading=Reading("Ann Reader", NOW, "c" * 32, "PC Smith 1234"), read_on="Monday at 9:58am")
    text = plain(read(printed(identity, young, aloud)))
    assert "Age 15" in text
    assert "who cannot read it, before the witness signed it. Ann Reader Signed by typing the name" in text
    assert "Signed on Monday at 9:58am" in text
    assert "aloud" not in plain(read(printed(identity)))


def test_the_page_count_counts(identity):
    long = replace(STATEMENT, text="\n\n".join(f"Paragraph {n}. " + "It was dark. " * 30 for n in range(40)))
    pdf = printed(identity, long)
    pages = len(pypdf.PdfReader(io.BytesIO(pdf)).pages)
    assert pages > 3
    assert f"Pages {pages}" in plain(read(pdf))
    assert f"Page {pages} of {pages}" in plain(read(pdf))


def test_it_claims_archival_and_accessible_form(identity):
    metadata = pypdf.PdfReader(io.BytesIO(printed(identity))).xmp_metadata.stream.get_data().decode()
    claimed = dict(re.findall(r"(pdfaid:part|pdfaid:conformance|pdfuaid:part)[=>\"]+(\w)", metadata))
    assert claimed == {"pdfaid:part": "3", "pdfaid:conformance": "A", "pdfuaid:part": "1"}


def test_the_signature_is_intact_covers_the_whole_file_and_carries_the_time_given(identity):
    status = validated(printed(identity), identity)
    assert status.bottom_line
    assert status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    assert status.signer_reported_dt == NOW
    assert "DEMO" in status.signing_cert.subject.native["common_name"]


@pytest.mark.parametrize("where", [0.02, 0.2, 0.5, 0.8])
def test_a_changed_byte_is_found(identity, where):
    pdf = bytearray(printed(identity))
    [signature] = PdfFileReader(io.BytesIO(bytes(pdf))).embedded_signatures
    start, length, *_ = signature.byte_range
    position = start + int(length * where)
    pdf[position] ^= 1
    assert not holds(bytes(pdf), identity)


def test_something_appended_is_found(identity):
    writer = IncrementalPdfFileWriter(io.BytesIO(printed(identity)))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Rotate"] = NumberObject(180)
    writer.update_container(page)
    out = io.BytesIO()
    writer.write(out)
    status = validated(out.getvalue(), identity)
    assert status.coverage is not SignatureCoverageLevel.ENTIRE_FILE
    assert not status.bottom_line


def test_the_demo_says_so_on_every_page_and_a_real_certificate_does_not(identity):
    long = replace(STATEMENT, text="\n\n".join("It was dark. " * 30 for _ in range(40)))
    demo = pypdf.PdfReader(io.BytesIO(printed(identity, long)))
    assert all("DEMO" in page.extract_text() for page in demo.pages)
    assert "DEMO" not in read(printed(replace(identity, is_demo=False)))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Siân Ŵyn Llŷr", id="Welsh"),
        pytest.param("Łucja Żółć-Gęślą", id="Polish"),
        pytest.param("Nguyễn Thị Ánh", id="Vietnamese"),
        pytest.param("Олена Гриценко", id="Ukrainian"),
        pytest.param("Ελένη Παπαδοπούλου", id="Greek"),
    ],
)
def test_names_in_other_alphabets_are_printed(identity, name):
    assert name in plain(read(printed(identity, replace(STATEMENT, heading=Heading(name)))))


def test_arabic_is_printed(identity):
    name = "محمد علي"
    pdf = printed(identity, replace(STATEMENT, heading=Heading(name)))
    assert pypdf.PdfReader(io.BytesIO(pdf)).metadata.author == name


WRITTEN = {  # letters that a font of the script may lack, or join wrongly
    "Noto Naskh Arabic": "میرا نام ہے ٹھیک گھر ڑ ں ے می‌گفتم چ پ ژ ښ ځ ډ ړ ۍ ێ ڕ ڵ ۆ ٻ ڄ، 12؟",
    "Libertinus Serif": "Żółć ăâîșț ëç ąčęėįš ğış ọ̀ẹ́ṣ ƙɗ Nguyễn їєґ ђћ Ελένη ქართული Հայերեն oʻzbek",
    "DejaVu Sans Mono": "שלום עליכם",
    "Noto Sans Bengali": "বাংলা ক্ষ।",
    "Noto Sans Devanagari": "हिन्दी क्ष मराठी ळ नेपाली।",
    "Noto Sans Ethiopic": "ትግርኛ አማርኛ።",
    "Noto Sans Gujarati": "ગુજરાતી ક્ષ",
    "Noto Sans Gurmukhi": "ਪੰਜਾਬੀ ਖ਼ੁਸ਼।",
    "Noto Sans Tamil": "தமிழ் ஸ்ரீ",
    "Noto Sans Thai": "ภาษาไทย น้ำ",
}


def interpreted(tag: str, original: str, **more: object) -> tuple[Statement, Signing]:
    heading = Heading("Jo Bloggs", interpreter_name="Ana Kowalska", spoken=tag)
    signed = Interpretation("Ana Kowalska", NOW, SignedAt.BOOTH, "c" * 32, "", "PC Smith 1234")
    statement = replace(STATEMENT, text="It was dark.", original=original, heading=heading, **more)
    signing = replace(
        SIGNING,
        interpreters=get_interpreters_declaration(statement.language, {}),
        interpretation=signed,
        interpreted_on="Monday at 9:58am",
        shown='{"originals":["…"]}',
    )
    return statement, signing


def test_an_interpreted_statement_holds_both_texts_the_declaration_and_exactly_what_was_shown(identity):
    pdf = printed(identity, *interpreted("pl", "Było ciemno."))
    text = plain(read(pdf))
    for needed in (
        "Interpreter Ana Kowalska Language of the witness Polish",
        "Polish. The witness read, confirmed and signed this text. 1. Było ciemno. Translation into English 1. It was",
        plain(get_interpreters_declaration("en", {}).text),
        "Ana Kowalska Signed by typing the name, on the screen of PC Smith 1234",
        "Signed on Monday at 9:58am",
    ):
        assert needed in text, needed
    assert pypdf.PdfReader(io.BytesIO(pdf)).attachments["shown.json"] == ['{"originals":["…"]}'.encode()]
    assert validated(pdf, identity).bottom_line
    welsh = plain(read(printed(identity, *interpreted("pl", "Było ciemno.", language="cy"))))
    assert "Cyfieithiad i’r Gymraeg" in welsh
    assert "Pwyleg" in welsh
    assert "nterpreter" not in plain(read(printed(identity)))


def test_every_language_that_is_offered_can_be_printed(identity):
    printer = Printer("Anytown Police", identity)
    for tag, font in LANGUAGES.items():
        original = f"{WRITTEN[font]} {find_language(tag).own_name}"
        statement, signing = interpreted(tag, original)
        printer.render(statement, get_declaration("en", {}), Taken("PC Smith", "AP-7F4K-92QD"), signing)


def test_text_from_right_to_left_starts_at_the_right_and_is_in_its_script_s_own_font(identity):
    page = pypdf.PdfReader(io.BytesIO(printed(identity, *interpreted("ur", "چور")))).pages[0]
    placed: dict[str, float] = {}

    def visit(text: str, matrix: list[float], *_: object) -> None:
        placed.setdefault(text.strip(), matrix[4])

    page.extract_text(visitor_text=visit)
    width = float(page.mediabox.width)
    letters = [x for text, x in placed.items() if any("\u0600" <= letter <= "\u06ff" for letter in text)]
    assert letters
    assert min(letters) > width / 2 > placed["It was dark."]
    fonts = [one.get_object()["/BaseFont"] for one in page["/Resources"]["/Font"].values()]
    assert any("NotoNaskhArabic" in font for font in fonts)


def test_a_welsh_statement_is_welsh_throughout(identity):
    pdf = printed(identity, replace(STATEMENT, language="cy"))
    text = plain(read(pdf))
    assert plain(get_declaration("cy", {}).text) in text
    assert "Datganiad tyst" in text
    assert "Witness statement" not in text
    assert pypdf.PdfReader(io.BytesIO(pdf)).trailer["/Root"]["/Lang"] == "cy"


@pytest.mark.parametrize(
    "text",
    [
        '#import "/etc/passwd"',
        '#read("statement.typ")',
        "#set page(fill: red)",
        "$ x^2 $ costs $5",
        "\\ back\\slash \\u{41}",
        "@reference <label>",
        "*bold* _it_ `code` = heading",
        "// no comment /* nor this */",
        '"; #panic("x") //',
        "<script>alert(1)</script> & ]]>",
        "{device} {reader} %s %(x)s",
    ],
)
def test_markup_stays_text_wherever_it_is_written(identity, text):
    statement = replace(
        STATEMENT,
        text=f"Before.\n\n{text}",
        heading=Heading(text, None, text),
        exhibits=(Exhibit("JB/1", text),),
    )
    pdf = printed(identity, statement, replace(SIGNING, signature=Signature(typed=text), device=text))
    assert plain(read(pdf)).count(plain(text)) >= 6


def test_a_word_longer_than_the_line_is_printed_whole(identity):
    word = "https://example.org/" + "abcdefghij" * 30
    pdf = printed(identity, replace(STATEMENT, text=word))
    assert word in "".join(read(pdf).replace("\u200b", "").split())


def test_a_character_without_a_glyph_is_refused_and_named(identity):
    with pytest.raises(CannotPrint) as refusal:
        printed(identity, replace(STATEMENT, text="My name is 李."))
    assert refusal.value.characters == "李"


def test_the_drawn_signature_is_on_the_page(identity):
    content = [page.get_contents().get_data() for page in pypdf.PdfReader(io.BytesIO(printed(identity))).pages]
    flat = [
        page.get_contents().get_data()
        for page in pypdf.PdfReader(io.BytesIO(printed(identity, signing=replace(SIGNING, signature=drawn(30))))).pages
    ]
    assert content != flat


def test_the_demo_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path):
    first = load_demo_signing_identity(tmp_path, now=NOW)
    assert load_demo_signing_identity(tmp_path, now=NOW) == first
    assert first.is_demo
    assert (tmp_path / "demo-signing.pem").stat().st_mode & 0o077 == 0


@pytest.fixture
def real_files(tmp_path: Path) -> Path:
    """A CA of ours, a certificate it signed, as PEM with chain and as PKCS#12."""
    subprocess.run(
        f"""set -e; cd {tmp_path}
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 3650
        openssl req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj "/CN=Anytown Police statements"
        openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out cert.pem
        cat key.pem cert.pem ca.pem > all.pem
        openssl pkcs12 -export -inkey key.pem -in cert.pem -certfile ca.pem -passout pass:sesame -out all.p12
        cat key.pem ca.pem > mixed.pem; cat cert.pem > nokey.pem
        cp all.pem open.pem; chmod 600 *.pem *.p12; chmod 644 open.pem""",
        shell=True,
        check=True,
        capture_output=True,
    )
    return tmp_path


def test_a_real_certificate_signs_with_its_chain_inside(real_files):
    from_pem = load_signing_identity(real_files / "all.pem")
    from_p12 = load_signing_identity(real_files / "all.p12", password="sesame")
    assert from_pem == from_p12
    assert not from_pem.is_demo
    pdf = printed(from_pem)
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    root = x509.Certificate.load(from_pem.chain_der[0])
    inside = {certificate.sha256 for certificate in signature.other_embedded_certs}
    assert root.sha256 in inside
    status = validate_pdf_signature(signature, ValidationContext(trust_roots=[root], allow_fetching=False))
    assert status.intact
    assert status.valid


@pytest.mark.parametrize(
    ("file", "password"),
    [("all.p12", "wrong"), ("mixed.pem", ""), ("nokey.pem", ""), ("missing.pem", ""), ("ca.key", ""), ("open.pem", "")],
)
def test_a_wrong_key_file_stops_the_start_in_words(real_files, file, password):
    with pytest.raises(CannotStart, match=file):
        load_signing_identity(real_files / file, password=password)


def test_an_id_that_is_derived_follows_from_its_parts():
    assert keys.derive_id("statement", "a", 3) == keys.derive_id("statement", "a", 3)
    assert (
        len(
            {
                keys.derive_id("statement", "a", 3),
                keys.derive_id("statement", "a", 4),
                keys.derive_id("statement", "a3"),
            }
        )
        == 3
    )
