"""Korean for Sphinx's search.

A Korean word comes with its particles attached: a page says 경계를, a reader looks for 경계.
Sphinx has no splitter for Korean, and matches parts of a word from three characters on, which
is longer than most Korean nouns. So every run of Hangul is indexed as its overlapping
two-syllable pieces (경계를 gives 경계, 계를), and a query is cut up the same way.
"""

import re

from sphinx.search.en import SearchEnglish

_HANGUL_RUN = re.compile(r"[가-힣]+")
_OTHER_WORD = re.compile(r"[^\W가-힣]+")

# The same cut as `pieces`, for the reader's query.
_SPLIT_QUERY = r"""
function splitQuery(query) {
  const words = query.match(/[\p{L}\p{N}_]+/gu) || [];
  return words.flatMap((word) => [
    ...(word.match(/[^가-힣]+/g) || []),
    ...(word.match(/[가-힣]+/g) || []).flatMap((run) =>
      run.length < 2 ? [run] : [...run].slice(1).map((last, i) => run[i] + last)),
  ]);
}
"""


def pieces(run: str) -> list[str]:
    """The overlapping two-syllable pieces of a run of Hangul; a single syllable is itself."""
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


class SearchKorean(SearchEnglish):
    """Hangul as two-syllable pieces; what is written in Latin letters as in English."""

    lang = "ko"
    language_name = "Korean"
    js_splitter_code = _SPLIT_QUERY

    def split(self, text: str) -> list[str]:
        hangul = [piece for run in _HANGUL_RUN.findall(text) for piece in pieces(run)]
        return _OTHER_WORD.findall(text) + hangul

    def word_filter(self, stemmed_word: str) -> bool:
        return bool(_HANGUL_RUN.match(stemmed_word)) or super().word_filter(stemmed_word)
