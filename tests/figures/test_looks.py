"""The look of losses: a colour and a marker for each, stated or given out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness import losses
from likeness.figures import looks
from likeness.figures.looks import look
from likeness.userinput.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the only one with losses."""
    monkeypatch.setattr(losses, "FOLDER", tmp_path)
    losses.card.cache_clear()
    yield tmp_path
    losses.card.cache_clear()


def add(folder: Path, name: str, **said: object) -> None:
    """Write the card of a loss that says no more than it must, and something beside."""
    card = {"formula": "0", "range": [0, 1], "doi": None, "supervision": "none", **said}
    (folder / f"{name}.py").write_text(f"CARD = {card}\n")
    losses.card.cache_clear()


def test_every_loss_gets_a_colour_and_a_marker_of_its_own(folder: Path) -> None:
    add(folder, "stated", colour="#123456", marker="o")
    names = [f"loss_{number}" for number in range(30)]
    for name in names:
        add(folder, name)
    assert (look("stated")["colour"], look("stated")["marker"]) == ("#123456", "o")
    for key in ("colour", "marker"):
        assert len({look(name)[key] for name in (*names, "stated")}) == 31


def test_colours_of_few_losses_are_far_apart(folder: Path) -> None:
    names = [f"loss_{number}" for number in range(12)]
    for name in names:
        add(folder, name)
    colours = [look(name)["colour"] for name in names]
    assert not any(looks._alike(a, b) for place, a in enumerate(colours) for b in colours[:place])


def test_a_further_loss_that_wants_another_look_changes_none(folder: Path) -> None:
    add(folder, "mine")
    before = look("mine")
    add(folder, "another", colour="#000000", marker="o")
    assert look("mine") == before


def test_what_another_card_states_is_not_given_out(folder: Path) -> None:
    add(folder, "mine")
    before = look("mine")
    add(folder, "another", colour=before["colour"], marker=before["marker"])
    assert look("mine")["colour"] != before["colour"]
    assert look("mine")["marker"] != before["marker"]


def test_a_loss_without_a_place_comes_last_in_its_group(folder: Path) -> None:
    add(folder, "a_loss")
    add(folder, "b_loss", order=150)
    add(folder, "c_loss", supervision="external", order=200)
    assert losses.names() == ["b_loss", "a_loss", "c_loss"]


def test_when_every_marker_is_taken_the_card_has_to_state_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "MARKERS", ["o"])
    monkeypatch.setattr(looks, "STROKES", [])
    monkeypatch.setattr(looks, "LETTERS", [])
    add(folder, "one")
    add(folder, "two")
    with pytest.raises(UserError, match=r"two\.py: every available marker is .*; state one on the CARD as `marker`"):
        look("two")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"color": "#000000"}, "CARD has an unknown key 'color'; did you mean 'colour'?"),
        ({"supervision": "label"}, "there is no supervision 'label'; did you mean 'labels'?"),
        ({"options": {"window": {"minimum": 3}}}, "the option 'window' in CARD has no default; add"),
        ({"shares": ["_nothing"]}, "CARD shares '_nothing', but _nothing.py in the same folder has no literal OPTIONS"),
    ],
)
def test_a_wrong_card_is_refused_in_a_sentence(folder: Path, said: dict[str, object], reason: str) -> None:
    add(folder, "mine", **said)
    with pytest.raises(UserError) as refusal:
        losses.card("mine")
    assert str(refusal.value).startswith(f"{folder / 'mine.py'}: {reason}")


def test_a_card_lays_its_options_over_those_that_it_shares(folder: Path) -> None:
    shared = {"sigma": {"default": 4.0, "minimum": 1}, "levels": {"default": None}}
    (folder / "_shared.py").write_text(f"OPTIONS = {shared}\n")
    add(folder, "mine", shares=["_shared"], options={"sigma": {"default": 2.0}, "levels": None, "own": {"default": 1}})
    assert losses.options("mine") == {"sigma": 2.0, "own": 1}
    assert losses.limits("mine") == {"sigma": {"minimum": 1}}
    assert losses.completed("mine", {"own": 3, "trained_on": "x"}) == {"sigma": 2.0, "own": 3, "trained_on": "x"}
