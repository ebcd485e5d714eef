"""Korean words are found with any particle attached."""

import pytest

from book.editions.korean_search import SearchKorean, pieces


@pytest.fixture
def korean() -> SearchKorean:
    return SearchKorean({})


def test_a_noun_is_indexed_whatever_particle_follows(korean: SearchKorean) -> None:
    for word in ("경계", "경계를", "경계에서는"):
        assert "경계" in korean.split(word)


def test_latin_words_stay_whole_beside_hangul(korean: SearchKorean) -> None:
    assert sorted(korean.split("Dice는 U-Net의")) == ["Dice", "Net", "U", "는", "의"]


def test_every_hangul_piece_is_worth_indexing(korean: SearchKorean) -> None:
    assert all(korean.word_filter(piece) for piece in pieces("경계를"))


def test_a_single_syllable_is_its_own_piece() -> None:
    assert pieces("값") == ["값"]
    assert pieces("손실은") == ["손실", "실은"]
