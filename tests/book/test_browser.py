"""The built site in a real browser: what a reader sees, on a screen and on a phone."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from book.editions.edition import LANGUAGES

PHONE = {"width": 390, "height": 844}
SCREEN = {"width": 1280, "height": 800}
NO_BARRIERS = "Found 0 accessibility violations:\n"


@contextmanager
def tabs(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open pages of the site; afterwards, nothing may have gone wrong on them unseen."""
    complaints: list[str] = []
    contexts = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.on(
            "console",
            lambda line: (
                complaints.append(line.text) if line.type in ("error", "warning") else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "data:"))
                else complaints.append(f"foreign request: {request.url}")
            ),
        )
        page.on(
            "response",
            lambda answer: complaints.append(answer.url) if answer.status >= 400 else None,
        )

    def open_page(path: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        listen(page)
        page.goto(address + path)
        page.evaluate("window.MathJax?.startup.promise.then(() => null)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    with tabs(browser, address) as open_page:
        yield open_page


def path_of(site: Path, page: Path) -> str:
    return page.relative_to(site).as_posix()


# Every page in three ways. It takes seconds to typeset a page, so the tests that only look at it
# share one.


@pytest.fixture(scope="module")
def on_screen(browser: Browser, address: str, site: Path, page: Path) -> Iterator[Page]:
    with tabs(browser, address) as open_page:
        yield open_page(path_of(site, page), viewport=SCREEN)


@pytest.fixture(scope="module")
def on_phone(browser: Browser, address: str, site: Path, page: Path) -> Iterator[Page]:
    with tabs(browser, address) as open_page:
        yield open_page(path_of(site, page), viewport=PHONE)


@pytest.fixture(scope="module")
def in_the_dark(browser: Browser, address: str, site: Path, page: Path) -> Iterator[Page]:
    with tabs(browser, address) as open_page:
        yield open_page(path_of(site, page), viewport=SCREEN, color_scheme="dark")


def test_a_page_opens_with_its_formulas_typeset(on_screen: Page) -> None:
    formulas = on_screen.locator("article .math")
    expect(on_screen.locator("article mjx-container")).to_have_count(formulas.count())
    assert on_screen.locator("article mjx-merror, article [data-mjx-error]").count() == 0
    assert on_screen.locator("article .problematic, article .system-message").count() == 0


def test_a_phone_does_not_scroll_sideways(on_phone: Page) -> None:
    assert on_phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for box in (item.bounding_box() for item in on_phone.locator("article img").all()):
        assert box is None or box["x"] + box["width"] <= PHONE["width"] + 1


# Formulas and code in a line that stick out of their paragraph or item, where nothing scrolls.
CUT_IN_LINE = """() => [...document.querySelectorAll(
    "article :is(mjx-container:not([display]), :not(pre) > code)")]
  .filter((part) => part.checkVisibility() && !part.closest("table"))
  .map((part) => [part, part.closest("p, li, figcaption, h1, h2, h3, dt, dd, summary")])
  .filter(([part, block]) => // but for the edge round code
    part.getBoundingClientRect().right > block?.getBoundingClientRect().right + 4)
  .map(([, block]) => block.innerText)"""


def test_nothing_in_a_line_is_cut_off_on_a_phone(on_phone: Page) -> None:
    assert on_phone.evaluate(CUT_IN_LINE) == []


# What is wider than its room, and neither shows it nor is reached by the keyboard.
HIDDEN = """() => [...document.querySelectorAll(
    "article :is(div.math, mjx-container[display], pre, .pst-scrollable-table-container)")]
  .filter((part) => part.clientWidth && part.scrollWidth > part.clientWidth + 1)
  .filter((part) => !part.matches(".more-after[tabindex='0']")
    || getComputedStyle(part).maskImage === "none")
  .map((part) => part.outerHTML.slice(0, 200))"""


def test_what_is_wider_than_a_phone_shows_it(on_phone: Page) -> None:
    on_phone.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")
    assert on_phone.evaluate(HIDDEN) == []


def test_what_scrolls_shows_on_which_side_there_is_more(tab) -> None:
    view = tab("en/book/frameworks.html", viewport=PHONE)
    wide = view.locator("article pre[data-wide]").first
    expect(wide).to_have_class(re.compile("more-after"))
    expect(wide).not_to_have_class(re.compile("more-before"))
    wide.evaluate("part => part.scrollTo(part.scrollWidth, 0)")
    expect(wide).to_have_class(re.compile("more-before"))
    expect(wide).not_to_have_class(re.compile("more-after"))


TOPS = "row => [...row.cells].map((cell) => cell.getBoundingClientRect().top)"


def test_a_table_wider_than_a_phone_becomes_cards(tab) -> None:
    """Each cell says what stands at the head of its column; where there is room it is a table."""
    view = tab("ko/book/frameworks.html", viewport=PHONE)
    cards = view.locator("article .pst-scrollable-table-container").first
    expect(cards).to_have_class(re.compile("as-cards"))
    assert cards.evaluate("e => e.scrollWidth <= e.clientWidth")
    heads = cards.locator("thead th").all_text_contents()
    for row in cards.locator("tbody tr").all():
        assert row.locator("td > .card-head").all_text_contents() == heads
        tops = row.evaluate(TOPS)  # all at one moment: the page may still be moving
        assert tops == sorted(set(tops))
    view.set_viewport_size(SCREEN)
    expect(cards.locator(".card-head").first).to_be_hidden()
    assert len(set(cards.locator("tbody tr").first.evaluate(TOPS))) == 1


def test_the_handle_of_a_slider_is_large_enough_for_a_finger(tab, site: Path) -> None:
    """Pressed 11 pixels beside its middle, it is held, and does not jump."""
    view = tab("en/book/05_focal.html", viewport=PHONE)
    slider = view.locator(".slider-figure input").first
    slider.scroll_into_view_if_needed()
    low, high, value = (
        float(slider.evaluate(f"e => e.{name}")) for name in ("min", "max", "value")
    )
    box, handle = slider.bounding_box(), 28
    middle = box["x"] + handle / 2 + (box["width"] - handle) * (value - low) / (high - low)
    for beside in (-11, 11):
        view.mouse.click(middle + beside, box["y"] + box["height"] / 2)
        assert float(slider.input_value()) == value


def test_displayed_formulas_are_seen_whole(on_screen: Page, on_phone: Page) -> None:
    """In a fold, on a phone, one that cannot be broken well may scroll inside its line."""
    cut = """() => [...document.querySelectorAll("article div.math")]
      .filter((box) => box.checkVisibility() && [box, ...box.querySelectorAll("mjx-container")]
        .some((part) => part.scrollWidth > part.clientWidth + 1))
      .map((box) => box.id || box.parentElement.innerText)"""
    for view in (on_screen, on_phone):
        assert view.evaluate(cut) == []


def test_dark_mode_keeps_the_colours_of_figures(in_the_dark: Page) -> None:
    assert in_the_dark.locator("html").get_attribute("data-theme") == "dark"
    for picture in in_the_dark.locator("article .cell_output img:not(.drawing)").all():
        light = picture.evaluate("e => getComputedStyle(e).filter")
        assert re.fullmatch(r"brightness\(0\.8\d\)", light)  # one factor for all its colours
        assert picture.evaluate("e => getComputedStyle(e).opacity") == "1"
        white = picture.evaluate("e => getComputedStyle(e).backgroundColor")
        assert white == "rgb(255, 255, 255)"


# A stack of its own round a figure of lines would leave it on black.
BOXED = """e => {
  for (let part = e.parentElement; !part.matches("main, body"); part = part.parentElement) {
    const { opacity, filter, transform, isolation, mixBlendMode } = getComputedStyle(part);
    const own = [opacity, filter, transform, isolation, mixBlendMode].join(" ");
    if (own !== "1 none none auto normal") return true;
  }
  return false;
}"""


def test_tables_of_outputs_are_read_in_the_dark(in_the_dark: Page) -> None:
    """What is behind a cell is as dark as the page."""
    backs = in_the_dark.evaluate(
        """() => [...document.querySelectorAll("article .cell_output td")].map((cell) => {
          for (let e = cell; e; e = e.parentElement) {
            const back = getComputedStyle(e).backgroundColor;
            if (back !== "rgba(0, 0, 0, 0)") return back;
          }
        })"""
    )
    light = [back for back in set(backs) if max(map(int, re.findall(r"\d+", back)[:3])) > 100]
    assert light == []


def test_in_the_dark_lines_are_drawn_on_the_page(in_the_dark: Page) -> None:
    """Black turns white, and white is the page: no caption may call a line black."""
    for picture in in_the_dark.locator("article .cell_output img.drawing").all():
        style = picture.evaluate("e => getComputedStyle(e).filter")
        assert style.startswith("invert(1) hue-rotate(180deg)")
        assert picture.evaluate("e => getComputedStyle(e).mixBlendMode") == "lighten"
        assert not picture.evaluate(BOXED)
        figure = picture.locator("xpath=ancestor::figure").first
        said = figure.text_content() + picture.get_attribute("alt")
        assert not re.search("black|white|검은|검정|흰|하얀", said, re.IGNORECASE), said


def test_pictures_load(on_screen: Page) -> None:
    for picture in on_screen.locator("article img").all():
        picture.evaluate("e => { e.loading = 'eager'; }")  # in a closed fold it is never near
        assert picture.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0


def test_a_page_does_not_jump_when_its_pictures_come(on_screen: Page) -> None:
    """Each has its place before it is there."""
    for picture in on_screen.locator("article img").all():
        width, height = (int(picture.get_attribute(side) or 0) for side in ("width", "height"))
        come = picture.evaluate("e => [e.naturalWidth, e.naturalHeight]")
        assert come in ([width, height], [0, 0])
        box = picture.bounding_box()
        if box and box["height"]:
            assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.05)


def test_formulas_are_no_stops_on_the_way_of_the_tab_key(on_screen: Page) -> None:
    stops = "article mjx-container[tabindex='0'], article mjx-container a"
    assert on_screen.locator(stops).count() == 0


# What slows axe down and is looked at elsewhere: each letter of a formula, each word of code.
BARE = """() => {
  document.querySelectorAll("mjx-container").forEach((formula) => formula.remove());
  document.querySelectorAll("pre").forEach((code) => { code.textContent = code.textContent; });
}"""


def barriers(view: Page, context: str | None = None) -> str:
    """What axe-core finds: names, headings, landmarks, contrast, keyboard, languages."""
    view.add_style_tag(content="* { transition: none !important }")  # no colour on its way
    return Axe().run(view, context, {"preload": False}).generate_report()


@pytest.mark.parametrize("way", ["on_screen", "in_the_dark"])
def test_nothing_shuts_a_reader_out(request: pytest.FixtureRequest, page: Path, way: str) -> None:
    """The last look at a page, for it takes things away."""
    view = request.getfixturevalue(way)
    view.evaluate(BARE)
    assert barriers(view) == NO_BARRIERS


BESIDE = ["index.html", "404.html", "en/search.html", "ko/genindex.html"]


@pytest.mark.parametrize("path", BESIDE)
def test_a_phone_does_not_scroll_sideways_beside_the_chapters(tab, path: str) -> None:
    view = tab(path, viewport=PHONE)
    assert view.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", BESIDE)
def test_nothing_shuts_a_reader_out_beside_the_chapters(tab, path: str, scheme: str) -> None:
    assert barriers(tab(path, color_scheme=scheme)) == NO_BARRIERS


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_of_code_stand_out(tab, scheme: str) -> None:
    view = tab("en/book/index.html", color_scheme=scheme)
    assert barriers(view, "pre") == NO_BARRIERS


def test_a_button_that_copies_is_seen_without_a_mouse(tab) -> None:
    view = tab("en/book/frameworks.html", viewport=PHONE)
    view.add_style_tag(content="* { transition: none !important }")
    button = view.locator("article button.copybtn").first
    assert button.evaluate("e => getComputedStyle(e).opacity") == "0"
    view.locator("article pre[data-wide]").first.focus()
    tab_to(view, "article button.copybtn", 9)
    assert view.locator(":focus").evaluate("e => getComputedStyle(e).opacity") == "1"
    finger = tab("en/book/frameworks.html", viewport=PHONE, has_touch=True, is_mobile=True)
    button = finger.locator("article button.copybtn").first
    assert float(button.evaluate("e => getComputedStyle(e).opacity")) > 0.5


@pytest.mark.parametrize(("here", "there"), [LANGUAGES, LANGUAGES[::-1]])
def test_the_switch_leads_to_the_twin(tab, site: Path, here: str, there: str) -> None:
    for viewport in ({"width": 1280, "height": 900}, PHONE):
        view = tab(f"{here}/book/references.html", viewport=viewport)
        switch = view.locator(f"nav.edition-switch a[hreflang={there}]")
        expect(switch).to_be_in_viewport()
        switch.click()
        view.wait_for_url(f"**/{there}/book/references.html")
        assert view.locator("html").get_attribute("lang") == there


def tab_to(view: Page, selector: str, presses: int) -> None:
    """Press Tab until the focus is on what matches, from where the focus is."""
    for _ in range(presses):
        view.keyboard.press("Tab")
        if view.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{presses} presses of Tab did not reach {selector}")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("selector", [".edition-switch a", ".search-box input", ".loss-map a"])
def test_the_keyboard_reaches(tab, lang: str, selector: str) -> None:
    tab_to(tab(f"{lang}/book/index.html", viewport=SCREEN), selector, 60)


# Whether what has the focus, or the box that stands for it, has a ring: a line, or a shadow around.
RINGED = """() => {
  const part = document.activeElement;
  const box = part.matches("[type=radio]") ? part.nextElementSibling
    : part.closest(".search-box") ?? part;
  return [part, box].some((each) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(each);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2
      || boxShadow !== "none" && !boxShadow.endsWith("inset");
  });
}"""


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_stop_of_the_tab_key_has_a_ring(tab, lang: str) -> None:
    view = tab(f"{lang}/book/playground.html", viewport=SCREEN)
    view.add_style_tag(content="* { transition: none !important }")
    last = view.locator("article a[href]").last
    while not last.evaluate("link => link === document.activeElement"):
        view.keyboard.press("Tab")
        assert view.evaluate(RINGED), view.evaluate("document.activeElement.outerHTML")


def drawing(figure: Locator) -> str:
    """All that a figure with sliders has drawn."""
    return figure.locator("svg").evaluate_all("(all) => all.map((svg) => svg.outerHTML).join()")


def test_sliders_are_moved_by_keys(tab, site: Path, page: Path) -> None:
    view = tab(path_of(site, page))
    for figure in view.locator(".slider-figure").all():
        figure.locator("svg").first.click()  # from here on, Tab goes to what is next
        for slider in figure.locator("input").all():
            drawn = drawing(figure)
            tab_to(view, "input[type=range]", 1)
            value = slider.input_value()
            view.keyboard.press("ArrowLeft")
            assert slider.input_value() != value
            assert figure.locator("output").all_inner_texts()
            assert drawing(figure) != drawn


@pytest.mark.parametrize("viewport", [SCREEN, PHONE], ids=["screen", "phone"])
def test_the_front_door_is_one_screen(tab, viewport) -> None:
    """What this is, a picture, and where to start, in both languages, without scrolling."""
    view = tab("index.html", viewport=viewport)
    size = view.evaluate(
        "['Width', 'Height'].map((way) => document.documentElement['scroll' + way])"
    )
    assert size == list(viewport.values())
    for lang in LANGUAGES:
        for part in (f"h1 [lang={lang}]", f"section[lang={lang}] h2", f"section[lang={lang}] p"):
            expect(view.locator(part)).to_be_in_viewport(ratio=1)
        for start in view.locator(f"section[lang={lang}] li a").all():
            expect(start).to_be_in_viewport(ratio=1)
    for picture in view.locator("figure img").all():
        expect(picture).to_be_in_viewport(ratio=1)
        assert picture.evaluate("e => e.naturalWidth") > 0


def test_the_front_door_keeps_the_colours_that_a_reader_chose(tab) -> None:
    view = tab("index.html", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = view.evaluate(paper)
    view.evaluate("localStorage.setItem('mode', 'dark')")
    view.reload()
    assert view.evaluate(paper) != light


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("viewport", [SCREEN, PHONE], ids=["screen", "phone"])
def test_the_first_page_says_where_to_start_on_its_first_screen(tab, lang, viewport) -> None:
    view = tab(f"{lang}/book/index.html", viewport=viewport)
    starts = view.locator("article section > ul").first.locator("a")
    for label in ("ch-notation", "sec-index-map", "ch-choosing", "ch-api"):
        assert label in " ".join(link.get_attribute("href") or "" for link in starts.all())
    for link in starts.all():
        expect(link).to_be_in_viewport()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_map_of_the_losses_is_legible_on_a_phone(tab, lang: str) -> None:
    """Every word is inside the picture or its box, and no letter is below 11 pixels."""
    view = tab(f"{lang}/book/index.html", viewport=PHONE)
    outside = """() => [...document.querySelectorAll(".loss-map text")].filter((text) => {
      const own = text.getBoundingClientRect();
      const box = (text.parentElement.querySelector(":scope > rect") ?? text.closest("svg"))
        .getBoundingClientRect();
      return own.left < box.left || own.right > box.right || own.top < box.top
        || own.bottom > box.bottom;
    }).map((text) => text.textContent)"""
    assert view.evaluate(outside) == []
    scale = view.locator(".loss-map").bounding_box()["width"] / 360
    assert scale * 12 > 11


def test_the_book_opens_from_a_folder_without_a_server(browser: Browser, site: Path) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "ko/book/02_cross_entropy.html").as_uri(), wait_until="networkidle")
    assert page.locator("article mjx-container").count() > 0
    assert complaints == []
    page.close()
