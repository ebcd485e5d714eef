"""The search: what readers type leads to the page that answers it, in both languages."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docutils import nodes
from playwright.sync_api import Browser, Page, expect
from sphinx.errors import ExtensionError
from test_browser import NO_BARRIERS, PHONE, SCREEN, barriers, tabs

from book.editions.config import CONFIG, LANGUAGES, ROOT
from book.editions.search import check_once, glossary_entries, readable


def test_questions_lead_to_pages_of_the_book() -> None:
    """A book of fewer pages, such as the tests build, is built all the same."""
    questions = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["sphinx"]["config"]
    for page, asked in questions["search_questions"].items():
        assert (ROOT / page).with_suffix(".ipynb").exists(), page
        assert set(asked) == set(LANGUAGES)


# The page that must be the first or the second found, and what readers type to find it. Numbers of
# chapters are left out, so that a chapter may be put before another.
QUERIES = {
    "ko": {
        "index": (
            "이미지 분할, 세그멘테이션, 영상분할, 설치, 손실의 지도, 손실함수, 손실 함수, 코랩, "
            "PDF, 라이선스, 깃허브, 이슈, 오타 신고, 노트북 내려받기"
        ),
        "notation": ("크롭, 멀티클래스, 배치, 미니배치, 로짓, 시그모이드, 텐서의 모양, 전경, 라벨"),
        "cross_entropy": (
            "교차엔트로피, 교차 엔트로피, 크로스 엔트로피, 크로스엔트로피, 교차 엔 트로피, "
            "교차 엔트로비, cross entropy, crossentropy, 라벨 스무딩, 편향, softplus, "
            "음의 로그 가능도, BCE"
        ),
        "weighted_cross_entropy": (
            "가중 교차 엔트로피, 가중크로스엔트로피, 임계치, 캘리브레이션, 브로드캐스팅, "
            "pos_weight, 클래스 가중치"
        ),
        "balanced_cross_entropy": "균형 교차엔트로피, 밸런스드 크로스 엔트로피",
        "focal": "포컬 로스, 포컬로스, focal, focal loss, 포컬 손실을, 포컬 손싫, 초점 손실",
        "distance": (
            "가중치 맵, 가중치맵, 경계, 경계를, 유넷, U-Net, unet, 맞닿은 세포, 거리 지도"
        ),
        "overlap": (
            "IoU, iou, 평가 지표, 자카드 지수, 자카드, 다이스 계수, 재현율, DSC, 교집합 대 합집합, "
            "MCC"
        ),
        "dice": (
            "소프트 라벨, 다이스 로스, 다이스로스, dice, 다이스 손실, 기울기 소실, 평활, "
            "soft dice, 일반화 다이스, GDL"
        ),
        "tversky": "티버스키, 트버스키, Tversky, tverski, 포컬 트버스키, F1",
        "lovasz": (
            "로바쉬, 로바스, 로바스소프트맥스, lovasz, Lovász, lovasz softmax, 준모듈성, 서브모듈러"
        ),
        "boundary": "경계 손실, 하우스도르프, 하우스도르프 거리, HD95, NSD, 표면 다이스",
        "map": "새 손실, PolyLoss, GCE, 일반화 교차 엔트로피, log-cosh, 경계 DoU, clDice, 위상",
        "choosing": (
            "하이퍼파라미터, 어떤 손실을 써야 하나요, 어떤 손실, 손실 함수 추천, "
            "손실 고르는 법, MONAI, smp, 결정표, 시드, 작은 물체, 작은 물체가 안 잡혀요, "
            "전부 배경으로 예측, 모두 배경으로 예측해요, 검은 화면만 나와요"
        ),
        "precision": (
            "오버플로, 언더플로, fp16, float16, 혼합 정밀도, 반정밀도, bfloat16, autocast, "
            "분산 학습, DDP, 수치 정밀도, 손실이 NaN, 손실이 안 줄어요, "
            "메모리 부족, CUDA out of memory"
        ),
        "frameworks": (
            "프레임워크, 라이트닝, 파이토치 라이트닝, Lightning, 허깅페이스, transformers, "
            "SegFormer, 세그포머, nnU-Net, nnunet, MetaTensor, GradScaler, deep supervision, "
            "Trainer, 손실 연결하기, segmentation_models_pytorch, 그래디언트 누적, "
            "gradient accumulation, 3D"
        ),
        "hard_pixels": "OHEM, top-k, topk, 부트스트랩 교차 엔트로피, 어려운 픽셀 고르기",
        "glossary": "기울기, 그래디언트, 그라디언트, 용어집, 불균형, 픽셀 손실, 랭크, 무시할 라벨",
        "api": "dice_loss, unet_weight_map, CombinedLoss, API",
        "playground": "플레이그라운드, 놀이터, 데모, 직접 해 보기, 예측을 칠하기, playground",
        "references": "참고문헌, 인용, 인용하기",
    },
    "en": {
        "index": (
            "image segmentation, semantic segmentation, map of the losses, install, loss function, "
            "colab, PDF, license, github, report a mistake, download notebook"
        ),
        "notation": (
            "crop, multiclass, batch, minibatch, logits, sigmoid, class imbalance, "
            "ground truth, shapes of tensors"
        ),
        "cross_entropy": (
            "cross entropy, cross-entropy, crossentropy, cros entropy, label smoothing, bias, "
            "log loss, BCE, binary cross entropy loss, softplus"
        ),
        "weighted_cross_entropy": (
            "weighted cross entropy, threshold, calibration, broadcasting, pos_weight, ECE, "
            "class weights"
        ),
        "balanced_cross_entropy": "balanced cross entropy, class-balanced cross entropy",
        "focal": "focal, focal loss, forcal loss, focal los, modulating factor",
        "distance": (
            "weight map, boundary, border, unet, U-Net, u net, touching cells, distance map"
        ),
        "overlap": (
            "IoU, jaccrd, jaccard index, intersection over union, metric, Dice score, recall, "
            "mean IoU, MCC, Matthews"
        ),
        "dice": (
            "soft labels, dice, Dice loss, soft dice, diceloss, vanishing gradient, smoothing, "
            "generalised Dice, GDL"
        ),
        "tversky": "tversky, Tversky loss, tverski, focal tversky, F1",
        "lovasz": "lovasz, Lovász, lovasz-softmax, lovas, submodular, hinge",
        "boundary": "boundary loss, Hausdorff distance, Hausdorff, HD95, surface Dice, ASSD",
        "map": "PolyLoss, GCE, log-cosh Dice, Boundary DoU, symmetric cross entropy, clDice",
        "choosing": (
            "which loss should I use, which loss, what loss function should I use, "
            "how to choose a loss, best loss function, hyperparameters, random seed, MONAI, "
            "smp, kornia, small objects, small objects missed, model predicts all background, "
            "all zeros prediction"
        ),
        "precision": (
            "fp16, float16, half precision, mixed precision, overflow, underflow, autocast, "
            "DDP, torch.compile, loss is NaN, loss not decreasing, inf loss, loss stuck, "
            "out of memory"
        ),
        "frameworks": (
            "framework, PyTorch Lightning, Lightning, Hugging Face, huggingface, transformers, "
            "SegFormer, nnU-Net, nnunet, MetaTensor, GradScaler, deep supervision, Trainer, "
            "how to plug in a loss, custom loss, segmentation_models_pytorch, "
            "gradient accumulation, 3D, expected scalar type Long"
        ),
        "hard_pixels": "OHEM, top-k loss, topk, hard pixels, bootstrapped cross entropy",
        "glossary": "gradient, glossary, region loss, pixel accuracy, ignored label",
        "api": "dice_loss, unet_weight_map, CombinedLoss, API reference",
        "playground": "playground, demo, interactive, visualization, paint a prediction",
        "references": "references, cite, how to cite",
    },
}


@pytest.fixture(scope="module")
def search_page(browser: Browser, site: Path) -> Iterator[Callable[[str], Page]]:
    """The search page of an edition, opened once, from the folder: there is no server."""
    with tabs(browser, site.as_uri()) as open_page:
        opened: dict[str, Page] = {}

        def page(lang: str) -> Page:
            if lang not in opened:
                opened[lang] = open_page(f"/{lang}/search.html")
            return opened[lang]

        yield page


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    with tabs(browser, address) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def index(site: Path) -> Callable[[str], dict[str, Any]]:
    def read(lang: str) -> dict[str, Any]:
        script = (site / lang / "_static" / "search-index.js").read_text(encoding="utf-8")
        return json.loads(script.removeprefix("const searchIndex = ").removesuffix(";\n"))

    return read


def name(address: str) -> str:
    """What a page is called in the table: its name without folder, number and ending."""
    return Path(address).stem.lstrip("0123456789_")


FOUND = "query => searchBook(query).pages.map(({ page }) => book.pages[page].address)"


def first_pages(view: Page, query: str, count: int = 2) -> list[str]:
    return [name(address) for address in view.evaluate(FOUND, query)[:count]]


@pytest.mark.parametrize(
    ("lang", "target"), [(lang, target) for lang in LANGUAGES for target in QUERIES[lang]]
)
def test_what_readers_type_leads_to_its_page(search_page, lang: str, target: str) -> None:
    found = {
        query: first_pages(search_page(lang), query) for query in QUERIES[lang][target].split(", ")
    }
    assert {query: pages for query, pages in found.items() if target not in pages} == {}


def mistyped(word: str) -> Iterator[str]:
    """The word with each letter left out, doubled, replaced, and changed with the next."""
    for i, letter in enumerate(word):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + letter + word[i:]
        yield word[:i] + "q" + word[i + 1 :]
        if word[i + 1 : i + 2] not in (letter, ""):
            yield word[:i] + word[i + 1] + letter + word[i + 2 :]


@pytest.mark.parametrize(
    ("word", "target"),
    [
        ("jaccard", "overlap"),
        ("tversky", "tversky"),
        ("lovász", "lovasz"),
        ("entropy", "cross_entropy"),
    ],
)
def test_one_wrong_letter_is_forgiven(search_page, word: str, target: str) -> None:
    found = {wrong: first_pages(search_page("en"), wrong) for wrong in mistyped(word)}
    assert {wrong: pages for wrong, pages in found.items() if target not in pages} == {}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_name_in_the_glossary_leads_to_its_entry(search_page, index, lang: str) -> None:
    """In both languages, whatever the edition."""
    rank = "query => searchBook(query).pages.flatMap(({ places }) => places.slice(0, 2))"
    lost = [
        (name, names[0])
        for entry, _, names in index(lang)["names"]
        for name in names
        if entry not in search_page(lang).evaluate(rank, name)
    ]
    assert lost == []


def test_spaces_case_and_accents_have_no_effect(search_page) -> None:
    for lang, spellings in [
        ("ko", ("교차 엔트로피", "교차엔트로피", "교 차 엔트로피")),
        ("ko", ("로바스 소프트맥스", "로바스소프트맥스", "lovasz softmax", "Lovász-softmax")),
        ("en", ("cross entropy", "Cross-Entropy", "crossentropy")),
        ("en", ("U-Net", "unet", "U Net")),
    ]:
        found = [first_pages(search_page(lang), spelling, 5) for spelling in spellings]
        assert found[0]
        assert all(pages == found[0] for pages in found), spellings


def test_equals_stand_in_reading_order(search_page) -> None:
    """Words that every chapter has in a heading of its own."""
    for lang, query in (("ko", "연습 문제"), ("en", "exercises")):
        pages = search_page(lang).evaluate("query => searchBook(query).pages", query)
        scores = [(round(page["score"], 6), page["page"]) for page in pages]
        assert len(pages) >= 12
        assert scores == sorted(scores, key=lambda pair: (-pair[0], pair[1]))
        assert len({score for score, _ in scores}) < len(scores)


@pytest.mark.parametrize(("lang", "query"), [("ko", "고래상어"), ("en", "xylophone"), ("ko", "??")])
def test_what_is_nowhere_is_not_found(search_page, lang: str, query: str) -> None:
    assert first_pages(search_page(lang), query) == []


# The page as a reader sees it.


def test_a_query_in_the_address_is_answered(tab) -> None:
    for path, page, marked in [
        ("ko/search.html?q=불균형", "glossary", {"불균형"}),
        ("ko/search.html?q=크로스 엔트로피", "02_cross_entropy", {"교차 엔트로피"}),
        ("en/search.html?q=which+loss+should+I+use", "11_choosing", {"loss", "losses"}),
    ]:
        view = tab(path)
        links = view.locator("#search-results h2 a")
        assert page in [Path(link.get_attribute("href")).stem for link in links.all()[:2]]
        marks = {mark.lower() for mark in view.locator("#search-results mark").all_inner_texts()}
        assert marks & marked
        assert not {mark for mark in marks if len(mark) < 3 and mark in "불균형"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_result_opens_at_its_section(tab, lang: str) -> None:
    view = tab(f"{lang}/search.html?q=softplus")
    link = view.locator("#search-results h3 a[href^='book/0']").first
    anchor = link.get_attribute("href").partition("#")[2]
    link.click()
    view.wait_for_url(f"**/{lang}/book/*#{anchor}")
    expect(view.locator(f"section#{anchor} :is(h2, h3)").first).to_be_in_viewport()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_results_lead_to_what_is_there(site: Path, index, lang: str) -> None:
    found = index(lang)
    pages = [(site / lang / path).read_text(encoding="utf-8") for path, _, _ in found["pages"]]
    for page, anchor, heading, _ in found["entries"]:
        assert not anchor or f'id="{anchor}"' in pages[page], heading


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("viewport", [SCREEN, PHONE], ids=["screen", "phone"])
def test_the_box_is_in_sight_wherever_the_page_is_scrolled(tab, lang: str, viewport) -> None:
    view = tab(f"{lang}/book/glossary.html", viewport=viewport)
    view.evaluate("window.scrollTo({ top: 3000, behavior: 'instant' })")
    box = view.locator(".bd-header-article input[type=search]")
    expect(box).to_be_in_viewport(ratio=1)
    box.click()
    view.keyboard.type("softmax")
    view.keyboard.press("Enter")
    view.wait_for_url(f"**/{lang}/search.html?q=softmax")
    expect(view.locator("#search-results h2").first).to_be_visible()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_search_needs_no_mouse(tab, lang: str) -> None:
    view = tab(f"{lang}/book/references.html", viewport=SCREEN)
    view.keyboard.press("Control+k")
    view.keyboard.type("dice")
    view.keyboard.press("Enter")
    view.wait_for_url(f"**/{lang}/search.html?q=dice")
    view.keyboard.type(" gradient")  # results follow what is typed
    view.locator(".search-page input").fill("focal")
    expect(view.locator("#search-results h2 a").first).to_have_attribute(
        "href", re.compile("focal")
    )
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.closest('#search-results') !== null")


@pytest.mark.parametrize(
    ("lang", "found", "nothing"),
    [("ko", "페이지", "찾은 것이 없습니다"), ("en", "Pages", "Nothing was found")],
)
def test_the_page_says_how_much_was_found(search_page, lang: str, found: str, nothing: str) -> None:
    view = search_page(lang)
    box, summary = view.locator(".search-page input"), view.locator("#search-summary")
    box.fill("softmax")
    expect(summary).to_contain_text(found)
    box.fill("xylophone")
    expect(summary).to_contain_text(nothing)
    box.fill("softmax xylophone")
    expect(view.locator("#search-results li").first).to_be_visible()
    box.fill("")
    expect(summary).to_be_empty()
    expect(view.locator("#search-results li")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [SCREEN, PHONE], ids=["screen", "phone"])
def test_nothing_shuts_a_reader_out_of_the_results(tab, viewport, scheme: str) -> None:
    view = tab("ko/search.html?q=다이스 로스", viewport=viewport, color_scheme=scheme)
    assert view.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert barriers(view) == NO_BARRIERS


# The index.


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_is_shown_of_a_section_can_be_read(index, lang: str) -> None:
    for *_, heading, text in index(lang)["entries"]:
        assert heading.strip()
        assert not re.findall(r".{0,30}\\[a-zA-Z(]+.{0,30}", heading + text), heading
        assert not re.findall(r"(?:-?\d[\d.,]* +){8}", text), f"a dump of numbers: {heading}"


def test_what_the_english_edition_shows_holds_no_hangul(index) -> None:
    """It knows the Korean names, and shows none of them."""
    assert not [entry for entry in index("en")["entries"] if re.search("[가-힣]", str(entry))]


def test_a_formula_becomes_letters_or_dots() -> None:
    def line(formula: str) -> str:
        return readable(nodes.paragraph("", "", nodes.math("", formula)))

    assert line(r"\beta") == "β"
    assert line(r"\hat p_1\ge\tfrac12") == "p̂₁≥½"
    assert line(r"x\in\{0,1\}") == "x∈{0,1}"
    assert line(r"\frac{1}{1+e^{-z}}") == "…"


def test_the_glossary_is_read_with_its_other_names() -> None:
    text = """(sec-a)=
## Words

Dice score(DSC)
: Twice the $x$ over
  the sum. → {ref}`Overlap <sec-b>`
: Also: Sørensen, F1

area
: A number.
"""
    assert list(glossary_entries([text])) == [
        (["Dice score", "DSC", "Sørensen", "F1"], "sec-b"),
        (["area"], ""),
    ]


def test_a_name_stands_for_one_thing() -> None:
    check_once("en", [(["Dice score", "DSC", "dice-score"], ""), (["area"], "")])
    with pytest.raises(ExtensionError, match="'dsc' is a name of both 'Dice score' and 'area'"):
        check_once("en", [(["Dice score", "DSC"], ""), (["area", "dsc"], "")])


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_search_is_loaded_where_it_is_used(site: Path, lang: str) -> None:
    """Sphinx's scripts and index are not shipped; the index is loaded by the search page alone."""
    for gone in ("searchindex.js", "_static/searchtools.js", "_static/language_data.js"):
        assert not (site / lang / gone).exists()
    for page in (site / lang).rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.search("searchindex|searchtools|language_data", html)
        assert ("search-index.js" in html) == (page.name == "search.html")
    assert (site / lang / "_static" / "search-index.js").stat().st_size < 500_000
