"""The search: what readers type leads to the page that answers it, in both languages."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docutils import nodes
from playwright.sync_api import Browser, Page, expect

from book.editions.edition import LANGUAGES
from book.editions.search import glossary_entries, readable

# What a reader types, and the page that must be the first or the second found. Numbers of
# chapters are left out, so that a chapter may be put before another.
QUERIES = {
    "ko": {
        "index": ["이미지 분할", "세그멘테이션", "영상분할", "설치", "손실의 지도", "픽셀 손실"],
        "notation": ["배치", "미니배치", "그라디언트", "그래디언트", "기울기", "로짓", "시그모이드",
                     "텐서의 모양", "전경", "라벨"],
        "cross_entropy": ["교차엔트로피", "교차 엔트로피", "크로스 엔트로피", "크로스엔트로피",
                          "교차 엔 트로피", "교차 엔트로비", "cross entropy", "crossentropy",
                          "소프트 라벨", "라벨 스무딩", "멀티클래스", "편향", "softplus",
                          "음의 로그 가능도", "BCE"],
        "weighted_cross_entropy": ["가중 교차 엔트로피", "가중크로스엔트로피", "임계치", "캘리브레이션",
                                   "브로드캐스팅", "pos_weight"],
        "balanced_cross_entropy": ["균형 교차엔트로피", "밸런스드 크로스 엔트로피"],
        "focal": ["포컬 로스", "포컬로스", "focal", "focal loss", "포컬 손실을", "포컬 손싫", "초점 손실",
                  "retinanet"],
        "distance": ["가중치 맵", "가중치맵", "경계", "경계를", "유넷", "U-Net", "unet",
                     "맞닿은 세포", "거리 지도"],
        "overlap": ["IoU", "iou", "평가 지표", "자카드 지수", "자카드", "다이스 계수", "재현율", "DSC",
                    "교집합 대 합집합"],
        "dice": ["다이스 로스", "다이스로스", "dice", "다이스 손실", "기울기 소실", "평활", "soft dice"],
        "tversky": ["티버스키", "트버스키", "Tversky", "tverski", "포컬 트버스키", "F1"],
        "lovasz": ["로바쉬", "로바스", "로바스소프트맥스", "lovasz", "Lovász", "lovasz softmax",
                   "준모듈성", "서브모듈러"],
        "choosing": ["하이퍼파라미터", "크롭", "어떤 손실을 써야 하나요", "어떤 손실", "손실 함수 추천",
                     "손실 고르는 법", "MONAI", "smp", "결정표", "시드"],
        "precision": ["오버플로", "언더플로", "fp16", "float16", "혼합 정밀도", "반정밀도", "bfloat16",
                      "autocast", "분산 학습", "DDP", "수치 정밀도", "손실이 NaN"],
        "glossary": ["손실함수", "손실 함수", "용어집", "불균형"],
        "api": ["dice_loss", "unet_weight_map", "CombinedLoss", "API"],
        "references": ["참고문헌"],
    },
    "en": {
        "index": ["image segmentation", "semantic segmentation", "map of the losses", "install"],
        "notation": ["batch", "minibatch", "gradient", "logits", "sigmoid", "class imbalance",
                     "ground truth", "shapes of tensors"],
        "cross_entropy": ["cross entropy", "cross-entropy", "crossentropy", "cros entropy",
                          "label smoothing", "soft labels", "multiclass", "bias", "log loss", "BCE",
                          "binary cross entropy loss", "softplus"],
        "weighted_cross_entropy": ["weighted cross entropy", "threshold", "calibration",
                                   "broadcasting", "pos_weight", "ECE"],
        "balanced_cross_entropy": ["balanced cross entropy", "class-balanced cross entropy"],
        "focal": ["focal", "focal loss", "forcal loss", "focal los", "modulating factor",
                  "RetinaNet"],
        "distance": ["weight map", "boundary", "border", "unet", "U-Net", "u net",
                     "touching cells", "distance map"],
        "overlap": ["IoU", "jaccrd", "jaccard index", "intersection over union", "metric",
                    "Dice score", "recall", "mean IoU"],
        "dice": ["dice", "Dice loss", "soft dice", "diceloss", "vanishing gradient", "smoothing"],
        "tversky": ["tversky", "Tversky loss", "tverski", "focal tversky", "F1"],
        "lovasz": ["lovasz", "Lovász", "lovasz-softmax", "lovas", "submodular", "hinge"],
        "choosing": ["which loss should I use", "which loss", "what loss function should I use",
                     "how to choose a loss", "best loss function", "hyperparameters", "random seed",
                     "crop", "MONAI", "smp", "kornia"],
        "precision": ["fp16", "float16", "half precision", "mixed precision", "overflow",
                      "underflow", "autocast", "DDP", "torch.compile", "loss is NaN"],
        "glossary": ["loss function", "glossary", "region loss"],
        "api": ["dice_loss", "unet_weight_map", "CombinedLoss", "API reference"],
        "references": ["references"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def search_page(browser: Browser, site: Path) -> Iterator[Callable[[str], Page]]:
    """The search page of an edition, opened once from the folder, without a server."""
    opened: dict[str, Page] = {}

    def page(lang: str) -> Page:
        if lang not in opened:
            opened[lang] = browser.new_page()
            opened[lang].goto((site / lang / "search.html").as_uri())
        return opened[lang]

    yield page
    for tab in opened.values():
        tab.close()


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
    found = {query: first_pages(search_page(lang), query) for query in QUERIES[lang][target]}
    assert {query: pages for query, pages in found.items() if target not in pages} == {}
