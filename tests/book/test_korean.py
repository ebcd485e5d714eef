"""Korean as it is spoken in a code review: words that the book has given up, and what it says now.

Each pattern is a regular expression. A word with a second, good meaning is matched in its context.
"""

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from book.editions import parity

RETIRED = {
    "묶음": "배치, 미니배치",
    "자료(?!형|구조)": "데이터",
    r"층.{0,12}절편|절편\(bias": "편향 (절편은 회귀에서만)",
    "시험|(학습|검증) 사진": "테스트/학습/검증 데이터",
    "나누는 수": "분모, 정규화 분모",
    "단단한": "하드",
    "부드러운": "소프트, 매끄러운",
    "장난감": "토이 예제, 토이 영상, 합성 영상",
    "척도": "평가 지표",
    "가격": "비용",
    "보폭": "학습률",
    "걸음": "스텝",
    "모둠": "그룹",
    "오려|오린|오리는|오립니다": "크롭하다",
    "퍼집니다": "브로드캐스트됩니다",
    "초매개변수": "하이퍼파라미터",
    "설명 문자열": "독스트링",
    "거래": "맞바꿈(트레이드오프)",
    "원래 표시": "원래 레이블",
    "기슭": "틈의 양쪽 가장자리",
    "[십백천팔]분의 일": "숫자로: 8분의 1",
    "사용 허락": "라이선스",
    "책을 (짓|지을|지으)": "빌드하다",
    "넓은 (형|수)": "정밀도가 더 높은 자료형",
    "차례(?!로|대로|차례)": "순서",
    "(넓은|빈|흰) 판": "캔버스",
    "승산": "오즈(odds)",
    "이어진 조각": "연결 성분",
    "앞으로 뺍": "괄호 밖으로 묶어 냅니다",
    "위로(는)? 끝이 없": "상한이 없습니다",
    "목소리": "영향, 비중",
    "눈먼": "아무것도 모르는",
    "꾸짖": "값으로 나타내다",
    "노트(?!북)": "흔히 보는 틀린 식 (노트는 머리말에서 한 번만)",
}


def retired(text: str) -> list[str]:
    """Every word of ``text`` that the book has given up, with what to say in its place.

    The glossary lists such words among the other names of a thing: readers still search for them.
    """
    text = re.sub("^: 다른 이름: .*", "", text, flags=re.MULTILINE)
    found = [(re.search(pattern, text), new) for pattern, new in RETIRED.items()]
    return [f"{match[0]!r}: {new}" for match, new in found if match]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("배치마다 분모가 다릅니다. 자료형은 float32이고, 차례로 크롭합니다.", 0),
        ("묶음마다 나누는 수가 다릅니다.", 2),
        ("마지막 층이 더하는 절편", 1),
        ("기울기와 절편", 0),
        ("이 노트북은 노트에서 왔습니다.", 1),
        (": 다른 이름: 승산, 오즈", 0),
    ],
)
def test_a_word_is_found_in_its_context(text: str, count: int) -> None:
    assert len(retired(text)) == count


def test_no_word_is_used_that_was_given_up(chapter: Path, lesson: NotebookNode) -> None:
    kept = {"노트(?!북)"} if chapter.stem == "index" else set()  # its preface names the note
    found = [
        f"{pair.place}: {line}"
        for pair in parity.pairs(lesson)
        for line in retired(pair.ko)
        if not any(re.fullmatch(pattern, line.split("'")[1]) for pattern in kept)
    ]
    assert found == []
