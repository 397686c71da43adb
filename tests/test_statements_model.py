"""What a statement may become, as pure decisions: states, paragraphs, confirmation, exhibits, signatures."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.statements_support import DRAFT, NOW
from video_server.statements import certificates, exhibits, model, rules
from video_server.statements.back_page import BackPage, Contact, PersonalStatement
from video_server.statements.declaration import (
    DECLARATIONS,
    INTERPRETERS_DECLARATIONS,
    WORDS,
    get_declaration,
    get_interpreters_declaration,
)
from video_server.statements.exhibits import Exhibit
from video_server.statements.languages import FONT_FOLDERS, LANGUAGES, find_language, list_languages
from video_server.statements.model import Answer, Deed, Heading, State, Statement
from video_server.statements.signature import (
    MOST_POINTS,
    BadSignature,
    NoSignature,
    draw_svg,
    read_signature,
)
from video_server.statements.typed import clean, split_paragraphs

ENGLISH = get_declaration("en", {})
INTERPRETED = replace(
    DRAFT, heading=Heading("Jo Bloggs", interpreter_name="Ana Kowalska", spoken="pl"), original="Raz.\n\nDwa."
)


def digest_of(statement: Statement) -> str:
    return model.write_shown(statement, ENGLISH, reference="AP-7F4K-92QD")


def confirmed(statement: Statement) -> dict[str, Answer]:
    return {one.key: Answer.RIGHT for one in statement.paragraphs}


@given(st.lists(st.sampled_from(Deed)))
def test_whatever_is_tried_a_signed_text_never_changes_and_signed_needs_the_seal(deeds):
    state, done = State.DRAFT, []
    for deed in deeds:
        try:
            after = model.move(state, deed)
        except model.NotNow:
            continue
        if state not in model.OPEN:
            assert deed is Deed.SEAL
        done.append(deed)
        state = after
    assert (state is State.SIGNED) == (Deed.SEAL in done)
    if state in {State.SEALING, State.SIGNED}:
        assert done.count(Deed.SIGN) == 1
        assert Deed.OFFER in done


@given(st.text())
def test_cleaned_text_is_stable_and_splitting_loses_no_visible_character(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert "".join("".join(split_paragraphs(cleaned)).split()) == "".join(cleaned.split())


def test_characters_that_would_turn_the_reading_direction_are_dropped():
    assert clean("I saw \u202eeno on\u202c one\r\nthere\x00") == "I saw eno on one\nthere"


def test_a_confirmation_follows_the_text_and_not_its_number():
    before = DRAFT
    after = replace(before, text="New first.\n\nOne.\n\nTwo, changed.")
    answers = confirmed(before)
    assert [answers.get(one.key) for one in after.paragraphs] == [None, Answer.RIGHT, None]


def test_two_paragraphs_of_the_same_words_are_confirmed_each_on_its_own():
    first, second = replace(DRAFT, text="Yes.\n\nYes.").paragraphs
    assert first.key != second.key


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"text": "One.\n\nTwo!"}, id="a character of the text"),
        pytest.param({"text": "One. Two."}, id="paragraphs joined"),
        pytest.param({"heading": Heading("Joe Bloggs")}, id="the name"),
        pytest.param({"heading": Heading("Jo Bloggs", 17)}, id="the age"),
        pytest.param({"heading": Heading("Jo Bloggs", None, "PC Smith")}, id="who reads it aloud"),
        pytest.param({"exhibits": (Exhibit("JB/1", "A photo"),)}, id="an exhibit"),
        pytest.param({"language": "cy"}, id="the language"),
    ],
)
def test_the_digest_tells_any_change_of_what_is_shown(changed):
    assert digest_of(replace(DRAFT, **changed)) != digest_of(DRAFT)


def test_the_digest_covers_the_declaration_and_what_is_shown_can_be_read_back():
    own = get_declaration("en", {"en": "All of it is true."})
    assert model.write_shown(DRAFT, own, reference="R") != model.write_shown(DRAFT, ENGLISH, reference="R")
    assert json.loads(digest_of(DRAFT))["paragraphs"] == ["One.", "Two."]


def test_a_statement_is_signed_only_as_shown_confirmed_and_declared():
    offered = replace(DRAFT, state=State.READ)
    fine = {"digest": "d", "shown_digest": "d", "answers": confirmed(offered), "reading": None, "declared": True}
    rules.check_sign(offered, **fine)
    with pytest.raises(model.TextChanged):
        rules.check_sign(offered, **{**fine, "shown_digest": "e"})
    first, second = offered.paragraphs
    for answers in ({}, {first.key: Answer.RIGHT}, {first.key: Answer.RIGHT, second.key: Answer.WRONG}):
        with pytest.raises(rules.NotConfirmed):
            rules.check_sign(offered, **{**fine, "answers": answers})
    with pytest.raises(rules.NotDeclared):
        rules.check_sign(offered, **{**fine, "declared": False})
    read_aloud = replace(offered, heading=Heading("Jo Bloggs", None, "PC Smith"))
    with pytest.raises(rules.NotReadAloud):
        rules.check_sign(read_aloud, **fine)
    certificate = certificates.Reading("PC Smith", NOW, "staff")
    rules.check_sign(read_aloud, **{**fine, "reading": certificate})
    for state in (State.DRAFT, State.SEALING, State.SIGNED):
        with pytest.raises(model.NotNow):
            rules.check_sign(replace(offered, state=state), **fine)


def test_both_languages_stand_paragraph_by_paragraph_and_a_change_of_either_is_confirmed_anew():
    assert [(one.text, one.original) for one in INTERPRETED.paragraphs] == [("One.", "Raz."), ("Two.", "Dwa.")]
    answers = confirmed(INTERPRETED)
    for changed in ({"text": "One!\n\nTwo."}, {"original": "Raz!\n\nDwa."}):
        after = replace(INTERPRETED, **changed).paragraphs
        assert [answers.get(one.key) for one in after] == [None, Answer.RIGHT]
    assert not set(answers) & set(confirmed(DRAFT)), "what was confirmed in one language alone does not count"
    assert replace(INTERPRETED, heading=DRAFT.heading).paragraphs == DRAFT.paragraphs


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        pytest.param({"heading": Heading("Jo", interpreter_name="Ana")}, certificates.NoInterpreter, id="no language"),
        pytest.param({"heading": Heading("Jo", spoken="pl")}, certificates.NoInterpreter, id="no interpreter"),
        pytest.param({"original": ""}, certificates.TextsDiffer, id="no original"),
        pytest.param({"original": "Raz."}, certificates.TextsDiffer, id="a paragraph less"),
        pytest.param({"original": "Raz.\n\nDwa.\n\nTrzy."}, certificates.TextsDiffer, id="a paragraph more"),
    ],
)
def test_an_interpreted_statement_lacks_nothing_before_anybody_reads_or_signs(changed, refused):
    rules.check_offer(INTERPRETED)
    lacking = replace(INTERPRETED, **changed)
    with pytest.raises(refused):
        rules.check_offer(lacking)
    offered = replace(lacking, state=State.READ)
    fine = {"digest": "d", "shown_digest": "d", "answers": confirmed(offered), "reading": None, "declared": True}
    with pytest.raises(refused):
        rules.check_sign(offered, **fine)


def test_the_interpreter_signs_before_the_witness_for_the_text_as_it_stands():
    offered = replace(INTERPRETED, state=State.READ)
    fine = {"digest": "d", "shown_digest": "d", "answers": confirmed(offered), "reading": None, "declared": True}
    with pytest.raises(rules.NotInterpreted):
        rules.check_sign(offered, **fine)
    signed = certificates.Interpretation("Ana Kowalska", NOW, certificates.SignedAt.CALL, "p")
    rules.check_sign(offered, **fine, interpretation=signed)
    certificates.check_interpretation(offered, typed="ana kowalska", shown_digest="d", digest="d")
    for statement, typed, shown, refused in (
        (offered, "Somebody", "d", certificates.InterpreterNameDiffers),
        (offered, "Ana Kowalska", "e", model.TextChanged),
        (INTERPRETED, "Ana Kowalska", "d", model.NotNow),
        (replace(DRAFT, state=State.READ), "", "d", certificates.InterpreterNameDiffers),
        (replace(offered, original="Raz."), "Ana Kowalska", "d", certificates.TextsDiffer),
    ):
        with pytest.raises(refused):
            certificates.check_interpretation(statement, typed=typed, shown_digest=shown, digest="d")


def test_the_digest_covers_both_languages_and_the_interpreters_declaration():
    own = get_interpreters_declaration("en", {"interpreter_en": "Ours."})
    assert own.text == "Ours."

    ours = get_interpreters_declaration("en", {})

    def write(statement: Statement, declared=ours) -> str:
        return model.write_shown(statement, ENGLISH, reference="R", interpreters=declared)

    heading = INTERPRETED.heading
    others = [
        write(replace(INTERPRETED, original="Raz.\n\nTrzy.")),
        write(replace(INTERPRETED, text="One.\n\nThree.")),
        write(replace(INTERPRETED, heading=replace(heading, interpreter_name="Ann"))),
        write(replace(INTERPRETED, heading=replace(heading, spoken="ru"))),
        write(INTERPRETED, own),
    ]
    assert len({write(INTERPRETED), *others}) == 6
    assert json.loads(write(INTERPRETED))["originals"] == ["Raz.", "Dwa."]
    assert set(INTERPRETERS_DECLARATIONS) == {"en", "cy"}


def test_languages_are_named_in_english_and_welsh_and_say_which_way_they_are_written():
    assert all(folder.is_dir() for folder in FONT_FOLDERS)
    polish, urdu = find_language("pl", named_in="cy"), find_language("ur")
    assert (polish.name, polish.own_name, polish.direction) == ("Pwyleg", "polski", "ltr")
    assert (urdu.name, urdu.direction) == ("Urdu", "rtl")
    assert find_language("fa-AF").name == "Dari"
    assert find_language("ckb").name == "Kurdish (Sorani)", "as officers call it, not as CLDR does"
    assert find_language("xx") is None
    assert len(list_languages("cy")) == len(LANGUAGES)
    assert all(one.name != one.tag and one.own_name for one in list_languages("en"))
    with pytest.raises(model.BadHeading):
        model.make_heading("Jo", None, "", "Ana", "xx")


def test_an_empty_or_nameless_draft_is_not_offered():
    with pytest.raises(rules.NothingWritten):
        rules.check_offer(replace(DRAFT, text=" \n\n "))
    with pytest.raises(rules.NoName):
        rules.check_offer(replace(DRAFT, heading=Heading("")))


@pytest.mark.parametrize("age", [0, 18, -1, 200])
def test_an_age_is_kept_only_under_18(age):
    with pytest.raises(model.BadHeading):
        model.make_heading("Jo", age, "")


def test_marks_in_the_text_that_no_exhibit_carries_are_named_once():
    statement = replace(DRAFT, text="I took JB/1, JB/2 and JB/2.", exhibits=(Exhibit("JB/1", "A photo"),))
    assert exhibits.unlisted_marks(statement.text, statement.exhibits) == ("JB/2",)


@pytest.mark.parametrize("mark", ["", "1/JB", "JB-1", "JB/1; DROP", "ABCDE/1", "JB/1234"])
def test_a_mark_is_initials_and_a_number(mark):
    with pytest.raises(exhibits.BadExhibit):
        exhibits.make_exhibit(mark, "A photo")


def test_a_mark_is_written_in_capitals_and_described_anew_instead_of_twice():
    first = exhibits.make_exhibit(" jb/1 ", "A photo")
    again = exhibits.make_exhibit("JB/1", "A photo of the door")
    assert exhibits.add_exhibit([first], again) == (Exhibit("JB/1", "A photo of the door"),)


def test_the_declaration_is_there_in_both_languages_and_a_force_may_replace_it():
    assert set(DECLARATIONS) == set(WORDS) == {"en", "cy"}
    assert set(WORDS["en"]) == set(WORDS["cy"])
    assert get_declaration("cy", {}).text != get_declaration("en", {}).text
    assert "9(2)(b)" in get_declaration("cy", {}).provision
    assert get_declaration("en", {"en": "Ours."}).text == "Ours."
    assert get_declaration("xx", {}) == get_declaration("en", {})


def test_a_signature_keeps_every_point_with_its_time_and_pressure():
    read = read_signature(
        {"width": 300, "height": 100, "strokes": [[[1, 2, 0, 0.5], [3.005, 4, 16, 1], [5, 6, 32, 0]]]}
    )
    assert read.strokes == (((1, 2, 0, 0.5), (3.0, 4, 16, 1), (5, 6, 32, 0)),)
    assert 'd="M1 2L3 4 5 6"' in draw_svg(read)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"width": 300, "height": 100, "strokes": "x"},
        {"width": 0, "height": 0, "strokes": []},
        {"width": 300, "height": 100, "strokes": [[[1, 2, 3]]]},
        {"width": 300, "height": 100, "strokes": [[["<svg>", 2, 3, 0]]]},
        {"width": 300, "height": 100, "strokes": [[[math.nan, 2, 3, 0]] * 5]},
        {"width": 300, "height": 100, "strokes": [[[math.inf, 2, 3, 0]] * 5]},
        {"width": 300, "height": 100, "strokes": [[[1, 2, 3, 0]] * (MOST_POINTS + 1)]},
        {"width": 1e9, "height": 100, "strokes": []},
        {"width": 10**400, "height": 100, "strokes": []},
        {"width": 300, "height": 100, "strokes": [[[1, 2, 10**400, 0]] * 5]},
        {"typed": 5},
        {"typed": "x" * 500},
    ],
)
def test_what_is_no_signature_is_refused(value):
    with pytest.raises(BadSignature):
        read_signature(value)


@pytest.mark.parametrize(
    "value",
    [
        {"width": 300, "height": 100, "strokes": []},
        {"width": 9, "height": 9, "strokes": [[[1, 1, 1, 1]]]},
        {"typed": " "},
    ],
)
def test_an_empty_box_is_no_signature(value):
    with pytest.raises(NoSignature):
        read_signature(value)


def test_dates_to_avoid_are_either_given_or_explicitly_none():
    with pytest.raises(ValueError, match="none"):
        BackPage(no_dates=True, dates_to_avoid=("2026-04-01",))
    assert "dates" in BackPage().unanswered
    full = BackPage(
        contact=Contact.MOBILE,
        no_dates=True,
        no_needs=True,
        consents=dict.fromkeys(("victim_support", "witness_care", "medical_records", "civil_proceedings"), False),
        personal_statement=PersonalStatement.DECLINED,
    )
    assert full.unanswered == ()
