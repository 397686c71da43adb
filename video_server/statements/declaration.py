"""The declarations a witness and an interpreter make, and the fixed words around a statement, in English and Welsh.

The wordings are our own, to the effect of the provision cited beside them; they are data. A force replaces the
declarations with its own (`VIDEO_DECLARATIONS`); what was shown and signed is kept with each signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Declaration:
    """What the witness ticks, or the interpreter signs. `provision` says which law asks for it."""

    text: str
    provision: str


PROVISIONS: Mapping[str, str] = {
    "en": "Criminal Justice Act 1967, section 9(2)(b); Criminal Procedure Rules, rule 16.2",
    "cy": "Deddf Cyfiawnder Troseddol 1967, adran 9(2)(b); Rheolau Trefniadaeth Droseddol, rheol 16.2",
}

DECLARATIONS: Mapping[str, str] = {
    "en": (
        "What I say in this statement is true to the best of my knowledge and belief. I make it knowing that, if it is "
        "used as evidence in court, I can be prosecuted if I have deliberately said in it anything that I know is "
        "false or that I do not believe is true."
    ),
    "cy": (
        "Mae’r hyn a ddywedaf yn y datganiad hwn yn wir hyd eithaf fy ngwybodaeth a’m cred. Rwyf yn ei wneud gan "
        "wybod, os caiff ei ddefnyddio’n dystiolaeth mewn llys, y gallaf gael fy erlyn os wyf wedi dweud ynddo’n "
        "fwriadol unrhyw beth y gwn ei fod yn anwir neu nad wyf yn credu ei fod yn wir."
    ),
}

INTERPRETERS_PROVISIONS: Mapping[str, str] = {
    "en": "Criminal Justice Act 1967, section 9; to the effect of PACE Code C, paragraph 13.4",
    "cy": "Deddf Cyfiawnder Troseddol 1967, adran 9; i’r un perwyl â Chod C PACE, paragraff 13.4",
}

INTERPRETERS_DECLARATIONS: Mapping[str, str] = {
    "en": (
        "I speak and understand both languages of this statement well enough to interpret between them. I interpreted "
        "truly, to the best of my skill, all that the officer and the witness said to each other, and the witness’s "
        "declaration. The text in the witness’s own language is what the witness said, and the other text is a true "
        "translation of it, to the best of my skill. I declare this knowing that, if it is used as evidence in court, "
        "I can be prosecuted if I have deliberately said in it anything that I know is false or that I do not believe "
        "is true."
    ),
    "cy": (
        "Rwy’n siarad ac yn deall dwy iaith y datganiad hwn yn ddigon da i gyfieithu rhyngddynt. Cyfieithais yn gywir, "
        "hyd eithaf fy ngallu, bopeth a ddywedodd y swyddog a’r tyst wrth ei gilydd, a datganiad o wirionedd y tyst. "
        "Y testun yn iaith y tyst ei hun yw’r hyn a ddywedodd y tyst, ac mae’r testun arall yn gyfieithiad cywir "
        "ohono, hyd eithaf fy ngallu. Rwy’n datgan hyn gan wybod, os caiff ei ddefnyddio’n dystiolaeth mewn llys, y "
        "gallaf gael fy erlyn os wyf wedi dweud ynddo’n fwriadol unrhyw beth y gwn ei fod yn anwir neu nad wyf yn "
        "credu ei fod yn wir."
    ),
}
"""For a witness's statement made in another language the effect of PACE Code C 13.4 is kept: it is recorded in that
language, the witness signs that, and the translation is kept with it; the interpreter answers for both by section 9."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Witness statement",
        "statement_of": "Statement of",
        "age": "Age",
        "over_18": "18 or over",
        "pages": "Pages",
        "reference": "Incident reference",
        "number": "Statement number",
        "declaration": "Declaration",
        "statement": "Statement",
        "exhibits": "Exhibits",
        "signature": "Signature",
        "signed_typed": "Signed by typing the name",
        "date": "Signed on",
        "taken_by": "Taken by",
        "read_aloud": "Read aloud",
        "reader": "I read this statement aloud to the witness, who cannot read it, before the witness signed it.",
        "read_how": "Signed by typing the name, on the screen of {officer}, who saw the witness.",
        "interpreter": "Interpreter",
        "spoken": "Language of the witness",
        "original": "Statement in the witness’s own language",
        "original_about": "{language}. The witness read, confirmed and signed this text.",
        "translation": "Translation into English",
        "interpreters": "Interpreter’s declaration",
        "interpreter_booth": "Signed by typing the name, on the screen of {officer}, who saw the interpreter.",
        "interpreter_call": (
            "Signed by typing the name, on the interpreter’s own device ({device}). The interpreter opened a personal "
            "link and was let into the call by the officer."
        ),
        "attached": "It is attached to this file as shown.json.",
        "shown": "What was shown and signed",
        "how": "How this was signed",
        "how_text": (
            "Signed electronically during a video appointment. The witness opened a personal link on their own device "
            "({device}) and was let into the call by the officer, who saw them. Agreed word: {word}. Each paragraph "
            "was confirmed one by one. SHA-256 of exactly what was shown and signed:"
        ),
        "word_right": "given",
        "word_wrong": "not given as agreed",
        "word_none": "not asked",
        "page": "Page",
        "of": "of",
        "demo": "DEMO: made for trying out, signed with a demo certificate, not evidence",
    },
    "cy": {
        "title": "Datganiad tyst",
        "statement_of": "Datganiad gan",
        "age": "Oed",
        "over_18": "18 neu hŷn",
        "pages": "Tudalennau",
        "reference": "Cyfeirnod y digwyddiad",
        "number": "Rhif y datganiad",
        "declaration": "Datganiad o wirionedd",
        "statement": "Datganiad",
        "exhibits": "Arddangosion",
        "signature": "Llofnod",
        "signed_typed": "Llofnodwyd drwy deipio’r enw",
        "date": "Llofnodwyd ar",
        "taken_by": "Cymerwyd gan",
        "read_aloud": "Darllenwyd yn uchel",
        "reader": "Darllenais y datganiad hwn yn uchel i’r tyst, nad yw’n gallu ei ddarllen, cyn i’r tyst ei lofnodi.",
        "read_how": "Llofnodwyd drwy deipio’r enw, ar sgrin {officer}, a welodd y tyst.",
        "interpreter": "Cyfieithydd",
        "spoken": "Iaith y tyst",
        "original": "Datganiad yn iaith y tyst ei hun",
        "original_about": "{language}. Darllenodd, cadarnhaodd a llofnododd y tyst y testun hwn.",
        "translation": "Cyfieithiad i’r Gymraeg",
        "interpreters": "Datganiad y cyfieithydd",
        "interpreter_booth": "Llofnodwyd drwy deipio’r enw, ar sgrin {officer}, a welodd y cyfieithydd.",
        "interpreter_call": (
            "Llofnodwyd drwy deipio’r enw, ar ddyfais y cyfieithydd ei hun ({device}). Agorodd y cyfieithydd ddolen "
            "bersonol a chafodd ei dderbyn i’r alwad gan y swyddog."
        ),
        "attached": "Mae wedi’i atodi i’r ffeil hon fel shown.json.",
        "shown": "Yr hyn a ddangoswyd ac a lofnodwyd",
        "how": "Sut y llofnodwyd hwn",
        "how_text": (
            "Llofnodwyd yn electronig yn ystod apwyntiad fideo. Agorodd y tyst ddolen bersonol ar ei ddyfais ei hun "
            "({device}) a chafodd ei dderbyn i’r alwad gan y swyddog, a’i gwelodd. Gair y cytunwyd arno: {word}. "
            "Cadarnhawyd pob paragraff fesul un. SHA-256 o’r union beth a ddangoswyd ac a lofnodwyd:"
        ),
        "word_right": "wedi’i roi",
        "word_wrong": "heb ei roi fel y cytunwyd",
        "word_none": "heb ei ofyn",
        "page": "Tudalen",
        "of": "o",
        "demo": "DEMO: gwnaed i roi cynnig arno, llofnodwyd â thystysgrif demo, nid tystiolaeth",
    },
}


def get_declaration(language: str, own: Mapping[str, str]) -> Declaration:
    """Return the declaration in a language; `own` is the force's, by language, and wins over ours."""
    code = language if language in DECLARATIONS else "en"
    return Declaration(own.get(code) or DECLARATIONS[code], PROVISIONS[code])


def get_interpreters_declaration(language: str, own: Mapping[str, str]) -> Declaration:
    """Return the interpreter's declaration in a language; the force's own stands under `interpreter_<language>`."""
    code = language if language in INTERPRETERS_DECLARATIONS else "en"
    text = own.get(f"interpreter_{code}") or INTERPRETERS_DECLARATIONS[code]
    return Declaration(text, INTERPRETERS_PROVISIONS[code])


def get_words(language: str) -> Mapping[str, str]:
    """Return the fixed words of the printed statement."""
    return WORDS.get(language, WORDS["en"])
