"""The leaderboard page in a real browser, with synthetic results and one with hostile names."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from fsbench.evaluation import result_files
from fsbench.report import leaderboard
from tests.changed import changed

pytestmark = pytest.mark.browser

GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>\"'&amp;"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "results"
    shutil.copytree(GOLDEN, folder)
    base = next(iter(result_files.read_all(GOLDEN / "glyphs")))
    hostile = changed(base, dataset="own", source="own", synthetic=False, run="hostile", recipe=HOSTILE)
    result_files.write(folder, changed(hostile, backbone=HOSTILE, overrides=HOSTILE, class_half_width=0.25))
    return leaderboard.update(folder, None)[2]


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    """The page, reloaded at desktop width; afterwards, assert an empty console and no network request."""
    look(browser, 1280, "light")
    browser.get_log("performance")
    browser.get(page.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert requests <= {page.as_uri(), "data:,"}


def look(browser: webdriver.Chrome, width: int, scheme: str) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def first(browser: webdriver.Chrome, css: str):
    return browser.find_element(By.CSS_SELECTOR, css)


def column(browser: webdriver.Chrome, place: int) -> list[str]:
    """The cell texts of a column of the first table."""
    rows = first(browser, "table").find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.CSS_SELECTOR, "th, td")[place].text for row in rows]


def headings(browser: webdriver.Chrome) -> list[str]:
    return [heading.text for heading in browser.find_elements(By.TAG_NAME, "h3") if heading.is_displayed()]


def choose(browser: webdriver.Chrome, name: str, value: str) -> None:
    Select(first(browser, f"#{name}")).select_by_visible_text(value)


def test_every_result_is_shown_and_links_to_its_file(opened, page: Path):
    links = [link.get_attribute("href") for link in opened.find_elements(By.CSS_SELECTOR, "td.accuracy a")]
    files = [path.as_uri() for path in page.parent.rglob("*.json")]
    assert sorted(links) == sorted(files)


def test_sorting(opened):
    accuracy = first(opened, "thead th.accuracy")
    button = accuracy.find_element(By.TAG_NAME, "button")
    assert accuracy.get_attribute("aria-sort") is None
    for direction in ("descending", "ascending"):
        button.click()
        assert accuracy.get_attribute("aria-sort") == direction
        numbers = [float(text.split()[0]) for text in column(opened, 6)]
        assert numbers == sorted(numbers, reverse=direction == "descending")

    rank = first(opened, "thead th.rank")
    for _ in range(2):
        rank.find_element(By.TAG_NAME, "button").click()
        ranks = [int(text) for text in column(opened, 5)]
        assert ranks in (sorted(ranks), sorted(ranks, reverse=True))
    assert accuracy.get_attribute("aria-sort") is None
    assert len(opened.find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1


def test_ranks(opened):
    """Rows that are not significantly different share a rank; rows 2 and 6 are means over seeds."""
    assert column(opened, 5) == ["1", "1", "2", "2", "3", "2", "5", "5", "4"]
    assert column(opened, 7) == ["1", "1", "1", "3", "1", "1", "3", "3", "3"]


def test_filters(opened):
    everything = headings(opened)
    choose(opened, "dataset", "omniglot")
    assert headings(opened) == ["cifar-fs (64 classes) → omniglot (novel), 32 px"]
    choose(opened, "way", "20")
    assert first(opened, "#status").text == "Rows: 1 measured"
    shown = [
        head.text for head in opened.find_elements(By.CSS_SELECTOR, "th.accuracy") if head.is_displayed()
    ]
    assert [text.split(" ↕")[0].split("\n")[0].strip() for text in shown] == ["20-way 1-shot"]

    first(opened, "#show-all").click()
    assert headings(opened) == everything
    choose(opened, "kind", "transductive")
    heads = [
        cell.text
        for cell in opened.find_elements(By.CSS_SELECTOR, "td[data-name=head]")
        if cell.is_displayed()
    ]
    assert heads == ["laplacian-shot (cl2n) †", "pt-map (pt) †‡"]
    choose(opened, "recipe", "erm")
    assert first(opened, "#status").text == "No row fits these filters."
    assert headings(opened) == []

    first(opened, "#show-all").click()
    first(opened, "#text").send_keys("manifold pt-map")
    assert headings(opened) == [
        "cifar-fs (novel), trained on cifar-fs (64 classes), 32 px, class counts given"
    ]
    assert not any(heading.is_displayed() for heading in opened.find_elements(By.TAG_NAME, "h2")[1:])


def test_shots(opened):
    choose(opened, "shot", "5")
    assert [text.split()[0] for text in column(opened, 8)] == [
        *("72.67", "71.11", "71.00", "70.00", "72.33", "69.11", "68.67", "68.67", "70.00"),
    ]
    assert column(opened, 6) == [""] * 9
    assert "omniglot" not in " ".join(headings(opened))


def test_published_rows_are_behind_a_switch(opened):
    """By default they are shown below the measured tables of their data set, tagged and without ranks."""
    measured = [text for text in headings(opened) if "published" not in text]
    assert headings(opened)[3:6] == [
        "published cifar-fs, inductive",
        "published cifar-fs, transductive",
        "published cifar-fs, transductive, class counts given",
    ]
    assert first(opened, "#status").text == "Rows: 15 measured, 413 published"
    assert opened.find_elements(By.CSS_SELECTOR, ".published :is(.rank, .best, .whisker)") == []

    first(opened, "#published").click()
    assert headings(opened) == measured
    assert first(opened, "#status").text == "Rows: 15 measured"
    assert not first(opened, "#memory").is_enabled()
    first(opened, "#show-all").click()
    assert first(opened, "#published").is_selected()
    assert len(headings(opened)) == len(measured) + 27


def test_measured_and_published_rows_share_the_filters(opened):
    choose(opened, "dataset", "cifar-fs")
    choose(opened, "backbone", "conv4")
    assert first(opened, "#status").text == "Rows: 10 measured, 7 published"
    choose(opened, "kind", "transductive")
    shown = [row.text.split("\n")[0] for row in opened.find_elements(By.CSS_SELECTOR, ".published tbody tr")
             if row.is_displayed()]  # fmt: skip
    assert [text.split()[1] for text in shown] == ["TEAM", "SIB", "DPGN", "ECKPN"]
    choose(opened, "dataset", "cub")
    choose(opened, "kind", "not stated")
    assert first(opened, "#status").text == "Rows: 8 published"


def test_published_rows_link_to_their_source_and_paper(opened):
    choose(opened, "dataset", "cifar-fs")
    first(opened, "#text").send_keys("dpgn")
    row = next(row for row in opened.find_elements(By.CSS_SELECTOR, ".published tr") if "DPGN" in row.text)
    links = [link.get_attribute("href") for link in row.find_elements(By.TAG_NAME, "a")]
    assert links[0].startswith("https://openaccess.thecvf.com/content_CVPR_2020/papers/Yang_DPGN_")
    assert links[1:] == ["https://github.com/yaoyao-liu/few-shot-classification-leaderboard/tree/451a97a"]


def test_numbers_from_memory_are_behind_a_switch(opened):
    assert "from memory" not in first(opened, "main").text
    first(opened, "#memory").click()
    assert "arXiv:1907.12087, from memory" in first(opened, ".published").text


def test_a_page_without_published_rows_does_not_mention_them(browser, page: Path, tmp_path: Path):
    shutil.copytree(page.parent, tmp_path / "results")
    browser.get(leaderboard.update(tmp_path / "results", None, published="none")[2].as_uri())
    assert "published" not in first(browser, "body").text
    assert not first(browser, "#published").is_displayed()


@pytest.mark.parametrize("way", ["hover", "focus", "click"])
def test_comparison(opened, way):
    """The differences of a 5-shot accuracy from the others, with p after Holm over all pairs."""
    cell = opened.find_elements(By.CSS_SELECTOR, "tbody tr")[0].find_elements(By.CSS_SELECTOR, "td.accuracy")[
        1
    ]
    if way == "hover":
        ActionChains(opened).move_to_element(cell).perform()
    elif way == "focus":
        opened.execute_script("arguments[0].focus()", cell.find_element(By.TAG_NAME, "a"))
    else:
        first(opened, "tbody tr").find_elements(By.CSS_SELECTOR, "td.rank button")[1].click()
    tip = first(opened, "#tip")
    _, significant, similar = re.split(
        "Significantly different from|Not significantly different from", tip.text
    )
    assert "72.67 ± 3.91 % over 20 tasks, rank 1 of 7\n± 6.12 % over new classes" in tip.text
    assert significant.split("\n")[2] == (
        "erm cosine, epochs 20, nearest-mean (l2), conv4, seed 0: "
        "+4.00 ± 2.35 over tasks, ± 1.35 over classes, p = 0.0001"
    )
    assert re.findall(r"p = [\d.]+", similar) == ["p = 0.2255", "p = 1.0000"]
    assert "p: claim over classes (new classes with their images)" in tip.text
    assert len(opened.find_elements(By.CSS_SELECTOR, "td.significant")) == 4
    assert len(opened.find_elements(By.CSS_SELECTOR, "td.similar")) == 2

    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()
    assert opened.find_elements(By.CSS_SELECTOR, "td.significant, td.similar, td.shown") == []


def test_recipes_are_compared_with_recipes(opened):
    """Rows 2 and 6 are means of three seeds."""
    cell = opened.find_elements(By.CSS_SELECTOR, "tbody tr")[1].find_elements(By.CSS_SELECTOR, "td.accuracy")[
        0
    ]
    ActionChains(opened).move_to_element(cell).perform()
    tip = first(opened, "#tip").text
    assert "55.33 (seeds 54.00 to 56.67), rank 1 of 2\nSignificantly different from\nerm cosine" in tip
    assert "mean of 3 seeds: +4.22" in tip
    assert "also over training seeds" in tip


def test_lists_of_different_lengths_are_compared(opened):
    """Each accuracy shows its number of tasks in brackets; pairs over tasks use the common tasks."""
    choose(opened, "dataset", "omniglot")
    links = [link for link in opened.find_elements(By.CSS_SELECTOR, "td.accuracy a") if link.is_displayed()]
    assert [link.text for link in links] == ["79.11 ± 3.56 (30)", "73.00 ± 5.21 (20)", "61.83 ± 3.84 (20)"]
    ActionChains(opened).move_to_element(links[0]).perform()
    assert "79.11 ± 3.56 % over 30 tasks, rank 1 of 2" in first(opened, "#tip").text


def test_interval_over_classes(opened):
    choose(opened, "dataset", "own")
    link = next(
        link for link in opened.find_elements(By.CSS_SELECTOR, "td.accuracy a") if link.is_displayed()
    )
    ActionChains(opened).move_to_element(link).perform()
    assert "± 25.00 % over new classes and their images" in first(opened, "#tip").text


def test_the_keyboard_alone_reaches_everything(opened):
    """Tab visits every control; Enter sorts, and focus shows and hides comparisons."""
    opened.execute_script("document.getElementById('published').checked = false; filter()")
    controls = "main button, main a, form select, form input:enabled, form button"
    expected = [
        element for element in opened.find_elements(By.CSS_SELECTOR, controls) if element.is_displayed()
    ]
    visited, tips = [], 0
    for _ in expected:
        ActionChains(opened).send_keys(Keys.TAB).perform()
        visited.append(opened.switch_to.active_element)
        compared = bool(visited[-1].find_elements(By.XPATH, "ancestor::td[.//a or .//button]"))
        assert first(opened, "#tip").is_displayed() == compared
        tips += compared
    assert sorted(element.id for element in visited) == sorted(element.id for element in expected)
    # two cells per checkpoint; a mean over seeds has no file to link to, only its rank
    assert tips == 2 * len(opened.find_elements(By.CSS_SELECTOR, "td.accuracy a")) + 4

    opened.execute_script("arguments[0].focus()", first(opened, "th.accuracy button"))
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    assert first(opened, "th.accuracy").get_attribute("aria-sort") == "descending"
    assert opened.switch_to.active_element == first(opened, "th.accuracy button"), "sorting keeps the focus"


def test_names_stay_text(opened):
    assert opened.title == "Few-shot results"
    assert opened.find_elements(By.TAG_NAME, "img") == []
    assert len(opened.find_elements(By.TAG_NAME, "script")) == 2
    assert HOSTILE in [
        name.text.partition(" cosine")[0] for name in opened.find_elements(By.CSS_SELECTOR, "tbody th a")
    ]
    assert HOSTILE in [option.text for option in Select(first(opened, "#recipe")).options]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(opened, scheme):
    look(opened, 360, scheme)
    first(opened, "#memory").click()
    cell = first(opened, "td.accuracy a")
    opened.execute_script("arguments[0].focus()", cell)
    width = "return document.documentElement.scrollWidth"
    assert opened.execute_script(width) == 360
    box = first(opened, "#tip").rect
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 360
    roles = {element.aria_role for element in opened.find_elements(By.CSS_SELECTOR, "table")}
    assert roles == {"table"}, "cards keep the meaning of a table"
    assert {row.aria_role for row in opened.find_elements(By.CSS_SELECTOR, "tbody th")} == {"rowheader"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(opened, scheme):
    """All text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), including comparisons."""
    look(opened, 1280, scheme)
    first(opened, "#memory").click()
    opened.execute_script("arguments[0].focus()", opened.find_elements(By.CSS_SELECTOR, "td.accuracy a")[1])
    pairs = opened.execute_script(
        """
        const ground = (e) => { const c = getComputedStyle(e).backgroundColor;
          return c !== "rgba(0, 0, 0, 0)" || !e.parentElement ? c : ground(e.parentElement); };
        return [...document.body.querySelectorAll("*")].filter((e) => e.checkVisibility() && e.innerText)
          .map((e) => [getComputedStyle(e).color, ground(e), e.className + e.tagName]);
        """
    )
    assert len(pairs) > 200
    for text, ground, element in pairs:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (element, text, ground)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
