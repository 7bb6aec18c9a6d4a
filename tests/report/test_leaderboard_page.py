"""The leaderboard page in a real browser, with synthetic results and one with hostile names."""

import csv
import json
import re
import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from fsbench.evaluation import result_files
from fsbench.report import leaderboard
from tests.changed import changed

pytestmark = pytest.mark.browser

GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>\"'&amp;"
WIDTHS = (1400, 900, 390)


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
    visit(browser, page)
    yield browser
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = {
        event["params"]["request"]["url"].split("#")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in requests if not url.startswith("blob:")} <= {
        page.as_uri(),
        "data:,",
        "about:blank",
    }


def visit(browser: webdriver.Chrome, page: Path, address: str = "") -> None:
    """Load the page afresh; a new fragment alone would not load it."""
    browser.get("about:blank")
    browser.get(page.as_uri() + address)


def look(browser: webdriver.Chrome, width: int, scheme: str) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def first(browser: webdriver.Chrome, css: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, css)


def every(browser: webdriver.Chrome, css: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, css)


def texts(browser: webdriver.Chrome, css: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())", css
    )


def classes(browser: webdriver.Chrome, css: str) -> list[str]:
    return [element.get_attribute("class") for element in every(browser, css)]


def tab(browser: webdriver.Chrome, dataset: str) -> None:
    first(browser, f"[data-dataset='{dataset}']").click()


def settle(browser: webdriver.Chrome) -> None:
    """Wait until the browser has handled what was done and drawn it."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    )


def choose(browser: webdriver.Chrome, name: str, value: str) -> None:
    Select(first(browser, f"#{name}")).select_by_visible_text(value)
    settle(browser)


def accuracies(browser: webdriver.Chrome, rows: str = "#table tr:not(.heading)") -> list[float]:
    """The 5-way 1-shot accuracies of the table."""
    return [float(text.split()[0]) for text in texts(browser, f"{rows} > td:nth-of-type(6) > a")]


def open_row(browser: webdriver.Chrome, name: str, head: str = "") -> None:
    for row in every(browser, "#table tbody tr:not(.heading)"):
        if row.find_element(By.CSS_SELECTOR, "th a").text == name and head in row.text:
            row.find_element(By.CSS_SELECTOR, "th a").click()
            return
    raise AssertionError(f"no row {name}")


def test_one_row_per_configuration(opened):
    choose(opened, "rows", "measured")
    assert first(opened, "#status").text == "5 measured configurations (9 runs) on cifar-fs."
    assert texts(opened, "#table tbody th.name > a") == [
        *("manifold-mixup paper", "manifold-mixup paper", "erm cosine", "manifold-mixup paper"),
        "their_features",
    ]
    assert texts(opened, "#table td.seeds") == ["1", "3", "3", "1", "1"]
    assert texts(opened, "#table td:nth-of-type(6)")[1].startswith("55.33 ± ")


def test_unfolding_shows_the_runs_and_their_files(opened, page: Path):
    choose(opened, "rows", "measured")
    assert every(opened, "tr.run") == []
    for button in range(2):
        every(opened, ".unfold")[button].click()
    assert [button.get_attribute("aria-expanded") for button in every(opened, ".unfold")] == ["true"] * 2
    assert texts(opened, "tr.run th") == ["seed 0", "seed 1", "seed 2"] * 2
    links = [link.get_attribute("href") for link in every(opened, "tr.run td.accuracy a")]
    assert len(links) == 12
    assert all(Path(link.removeprefix("file://")).is_file() for link in links)
    assert "unfolded=" in opened.current_url
    visit(opened, page, "#" + opened.current_url.split("#")[1])
    assert len(every(opened, "tr.run")) == 6
    every(opened, ".unfold")[0].click()
    assert len(every(opened, "tr.run")) == 3
    assert opened.switch_to.active_element == every(opened, ".unfold")[0], "unfolding keeps the focus"


def test_sorting(opened):
    choose(opened, "rows", "measured")
    first(opened, "#mixed").click()
    before = accuracies(opened)
    for direction in ("descending", "ascending"):
        first(opened, "[data-sort='5w1s']").click()
        assert first(opened, "th[aria-sort]").get_attribute("aria-sort") == direction
        assert accuracies(opened) == sorted(before, reverse=direction == "descending")
    first(opened, "[data-sort='5w1s']").click()
    assert every(opened, "[aria-sort]") == []
    assert accuracies(opened) == before

    first(opened, "[data-sort='name']").click()
    assert texts(opened, "#table tbody th.name > a") == sorted(texts(opened, "#table tbody th.name > a"))


def test_tables_stay_apart_unless_mixed(opened):
    first(opened, "[data-sort='5w1s']").click()
    headings = texts(opened, "#table .heading")
    assert headings[0].startswith("measured")
    assert sum(heading.startswith("published") for heading in headings) == 4
    first(opened, "#mixed").click()
    assert every(opened, "#table .heading") == []
    assert accuracies(opened) == sorted(accuracies(opened), reverse=True)


def test_tabs_and_their_counts(opened):
    tabs = every(opened, "[role=tab]")
    assert [one.get_attribute("data-dataset") for one in tabs[:4]] == [
        "cifar-fs",
        "own",
        "omniglot",
        "glyphs",
    ]
    tab(opened, "omniglot")
    assert first(opened, "[aria-selected=true]").get_attribute("data-dataset") == "omniglot"
    assert {text.split()[0] for text in texts(opened, "#table .heading")} == {"measured"}
    first(opened, "#text").send_keys("dpgn")
    assert texts(opened, "[data-dataset='cifar-fs'] .count") != ["0"]
    assert texts(opened, "[data-dataset='omniglot'] .count") == ["0"]
    assert first(opened, "#empty").is_displayed()
    assert not first(opened, "#scroll").is_displayed()


def test_filters(opened):
    heads = [option.text for option in Select(first(opened, "#head")).options]
    assert heads == ["all", "laplacian-shot", "nearest-mean", "pt-map"]
    choose(opened, "head", "pt-map")
    assert texts(opened, "#table td.head") == ["pt-map (pt) †‡"]
    first(opened, "#clear").click()
    choose(opened, "setting", "transductive")
    assert set(texts(opened, "#table td.setting")) == {"transductive"}
    choose(opened, "backbone", "conv4")
    assert [text.split("\n")[0].split()[0] for text in texts(opened, "#table tbody th.name")] == [
        *("manifold-mixup", "TEAM", "SIB", "DPGN", "ECKPN"),
    ]
    choose(opened, "recipe", "erm")
    assert first(opened, "#status").text == "No row fits these filters."
    first(opened, "#clear").click()
    first(opened, "#text").send_keys("conv4 team")
    assert first(opened, "#status").text == "1 published row on cifar-fs."


def test_shots_select_columns_and_panels_of_the_figure(opened):
    assert texts(opened, "#chart .panel-head strong") == ["5-way 1-shot, %", "5-way 5-shot, %"]
    first(opened, "[name=tasks][value='5w1s']").click()
    assert texts(opened, "#chart .panel-head strong") == ["5-way 5-shot, %"]
    assert len(every(opened, "th.accuracy")) == 1
    assert "tasks=5w5s" in opened.current_url


def test_the_address_holds_the_state(opened, page: Path):
    """The page shows the same view again after it is loaded from its address."""
    tab(opened, "mini-imagenet")
    choose(opened, "setting", "inductive")
    choose(opened, "backbone", "resnet12")
    first(opened, "#text").send_keys("iclr e")
    first(opened, "#mixed").click()
    first(opened, "[data-sort='5w5s']").click()
    expected = texts(opened, "#table tr"), texts(opened, "#status"), texts(opened, "#chart li")
    assert len(expected[0]) > 2
    address = opened.current_url.split("#")[1]
    visit(opened, page, f"#{address}")
    assert (texts(opened, "#table tr"), texts(opened, "#status"), texts(opened, "#chart li")) == expected
    assert first(opened, "#text").get_attribute("value") == "iclr e"
    opened.back()
    settle(opened)
    opened.forward()
    settle(opened)
    assert texts(opened, "#table tr") == expected[0]


@pytest.mark.parametrize(
    "address",
    ["#dataset=none&page=-3&sort=x", "#page=1e9", "#row=none", "#tasks=9w9s,,&rows=x&text=%", "#%%%"],
)
def test_an_odd_address_is_harmless(opened, page: Path, address: str):
    visit(opened, page, address)
    assert first(opened, "[aria-selected=true]").get_attribute("data-dataset") == "cifar-fs"
    assert not first(opened, "#panel").is_displayed()


def test_back_returns_to_the_view_before(opened):
    tab(opened, "omniglot")
    choose(opened, "rows", "measured")
    opened.back()
    settle(opened)
    assert first(opened, "#rows").get_attribute("value") == "all"
    opened.back()
    settle(opened)
    assert first(opened, "[aria-selected=true]").get_attribute("data-dataset") == "cifar-fs"


def test_figure(opened):
    """Measured rows, then published ones; inductive ones first, and the best first among them."""
    assert first(opened, "#figure-title").text == (
        "Measured rows, and the 12 highest inductive published rows, by 5-way 1-shot accuracy"
    )
    assert texts(opened, "#chart .group") == [
        "Measured rows, inductive ones first",
        "The 12 highest inductive published rows",
    ]
    numbers = [float(text) for text in texts(opened, "#chart .published .panel:nth-child(2) .number")]
    assert numbers == sorted(numbers, reverse=True)
    kinds = [name.split()[-1] for name in classes(opened, "#chart > li")]
    assert kinds == ["head", "group", *["line"] * 5, "group", *["published"] * 12]
    lines = every(opened, "#chart .line:not(.head)")
    assert {"published" in (line.get_attribute("class") or "") for line in lines} == {True, False}
    assert len(every(opened, "#chart .published")) == 12
    spots = opened.execute_script(
        "return [...document.querySelectorAll('#chart .published .panel:nth-child(2) .dot')]"
        ".map((e) => e.getBoundingClientRect().left + e.getBoundingClientRect().width / 2)"
    )
    assert spots == sorted(spots, reverse=True), "a higher accuracy is further right"
    first(opened, "#figure-more").click()
    assert len(every(opened, "#chart .line:not(.head)")) > len(lines)
    assert "figure=all" in opened.current_url


def test_figure_of_rows_without_the_first_protocol(browser, tmp_path: Path):
    """Rows that only have 5-shot accuracies are in the figure, beside rows with both or alone."""
    base = next(iter(result_files.read_all(GOLDEN / "glyphs")))
    for run, n_shot in [("one", 1), ("five", 5)]:
        result_files.write(tmp_path, changed(base, run=run, recipe=run, train_seed=None, n_shot=n_shot))
    visit(browser, leaderboard.update(tmp_path, None, published="none")[2])
    assert [text.split()[0] for text in texts(browser, "#chart .label")] == ["one", "five"]
    first(browser, "#text").send_keys("five")
    settle(browser)
    assert [text.split()[0] for text in texts(browser, "#chart .label")] == ["five"]


def test_copy_buttons_say_so_and_return(opened):
    """Also after a second click while the button says "Copied"."""
    choose(opened, "rows", "measured")
    first(opened, "details[name=about]:has(#citation) summary").click()
    for css in ("#link", "#copy-citation"):
        check_copy(opened, css)
    open_row(opened, "manifold-mixup paper")
    for css in ("#panel-link", "[data-copy]"):
        check_copy(opened, css)


def check_copy(browser: webdriver.Chrome, css: str) -> None:
    button = first(browser, css)
    before = button.text
    for _ in range(2):
        button.click()
        wait_for(lambda: button.text == "Copied")
    wait_for(lambda: button.text == before)


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_search_covers_every_run(opened):
    choose(opened, "rows", "measured")
    run = next(row for row in rows_of_browser(opened) if len(row["runs"]) > 1)["runs"][-1]["name"]
    first(opened, "#text").send_keys(run)
    settle(opened)
    assert len(every(opened, "#table tbody th.name")) >= 1


def rows_of_browser(browser: webdriver.Chrome) -> list[dict]:
    data = json.loads(browser.execute_script("return document.getElementById('data').textContent"))
    return data["tables"][0]["rows"]


@pytest.mark.parametrize(
    ("address", "is_link"),
    [
        ("https://example.org/", True),
        ("#row=x", True),
        ("cifar-fs/x.json", True),
        (" javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://[", False),
    ],
)
def test_only_safe_addresses_are_links(browser, page: Path, tmp_path: Path, address: str, is_link: bool):
    """The address of a paper in a published row."""
    start, end = page.read_text("utf-8").split('type="application/json">')
    data, rest = end.split("</script>", 1)
    values = json.loads(data)
    row = next(row for table in values["tables"] if table["published"] for row in table["rows"])
    row["paper"] = address
    copy = tmp_path / "page.html"
    text = json.dumps(values).replace("<", "\\u003c")
    copy.write_text(f'{start}type="application/json">{text}</script>{rest}', "utf-8")
    visit(browser, copy, f"#row={row['id']}")
    wait_for(lambda: first(browser, "#panel").is_displayed())
    names = texts(browser, "#panel dd a")
    assert (row["name"] in names) is is_link


def test_figure_draws_intervals_to_scale(opened):
    """Ticks, dot and both intervals of a measured row are where the axis puts them."""
    choose(opened, "rows", "measured")
    places = opened.execute_script(
        """
        const middle = (e) => { const box = e.getBoundingClientRect(); return box.left + box.width / 2; };
        const ticks = [...document.querySelectorAll("#chart .head > :nth-child(2) .tick")];
        const plot = document.querySelector("#chart .panel:has(.seed)");
        const box = plot.querySelector(".over-classes").getBoundingClientRect();
        return {
          ticks: ticks.map((e) => [Number(e.textContent), middle(e)]),
          dot: middle(plot.querySelector(".dot")),
          from: box.left, to: box.right, tip: plot.dataset.tip, seeds: plot.querySelectorAll(".seed").length,
        };
        """
    )
    (low, left), *_, (high, right) = places["ticks"]
    value = lambda x: low + (high - low) * (x - left) / (right - left)  # noqa: E731
    data = json.loads(opened.execute_script("return document.getElementById('data').textContent"))
    row = next(row for row in data["tables"][0]["rows"] if row["id"] == places["tip"])
    cell = row["cells"][0]
    assert value(places["dot"]) == pytest.approx(cell["mean"], abs=0.15)
    assert value(places["from"]) == pytest.approx(cell["mean"] - cell["classes"], abs=0.15)
    assert value(places["to"]) == pytest.approx(cell["mean"] + cell["classes"], abs=0.15)
    assert places["seeds"] == 3


def test_published_rows_are_quotations(opened):
    first(opened, "#text").send_keys("dpgn conv4")
    (row,) = every(opened, "#table tr.published")
    assert row.find_elements(By.CSS_SELECTOR, ".rank") == []
    source = row.find_element(By.CSS_SELECTOR, "th .details a")
    assert source.get_attribute("href") == (
        "https://github.com/yaoyao-liu/few-shot-classification-leaderboard/tree/451a97a"
    )
    open_row(opened, "DPGN")
    paper = first(opened, "#panel dl a").get_attribute("href")
    assert paper.startswith("https://openaccess.thecvf.com/content_CVPR_2020/papers/Yang_DPGN_")
    assert "5-way 1-shot: 76.4 ± 0.5" in first(opened, "#panel").text


def test_numbers_from_memory_are_behind_a_switch(opened):
    tab(opened, "cub")
    before = len(every(opened, "#table tr.published"))
    assert "not verified" not in first(opened, "main").text
    first(opened, "#memory").click()
    assert "not verified" in first(opened, "#table").text
    assert len(every(opened, "#table tr.published")) > before


def test_a_page_without_published_rows(browser, page: Path, tmp_path: Path):
    shutil.copytree(page.parent, tmp_path / "results")
    visit(browser, leaderboard.update(tmp_path / "results", None, published="none")[2])
    assert (
        texts(browser, "[role=tab]") == ["cifar-fs 4", "omniglot 3", "own 1", "glyphs 1"]
        or len(texts(browser, "[role=tab]")) == 4
    )
    assert every(browser, "#table .published") == []


def test_a_page_without_results(browser, tmp_path: Path):
    """After the last result was removed, the page is empty but whole."""
    (tmp_path / "leaderboard.csv").write_text("")
    visit(browser, leaderboard.update(tmp_path, None, published="none")[2])
    assert first(browser, "#status").text == "No row fits these filters."
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("way", ["hover", "focus"])
def test_tooltips_have_at_most_six_lines(opened, way):
    choose(opened, "rows", "measured")
    tip = first(opened, "#tip")
    for link in every(opened, "#table td.accuracy a"):
        if way == "hover":
            ActionChains(opened).move_to_element(link).perform()
        else:
            opened.execute_script("arguments[0].focus()", link)
        lines = tip.text.split("\n")
        assert 2 <= len(lines) <= 6
        assert link.get_attribute("aria-describedby") == "tip"
        box, window = tip.rect, opened.execute_script("return [innerWidth, innerHeight]")
        assert box["width"] < 460
        assert 0 <= box["x"] < box["x"] + box["width"] <= window[0]
    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()
    assert every(opened, "[aria-describedby]") == []


def test_tooltip_of_a_mean(opened):
    choose(opened, "rows", "measured")
    row = next(row for row in every(opened, "#table tr") if row.find_elements(By.CSS_SELECTOR, ".unfold"))
    ActionChains(opened).move_to_element(row.find_element(By.CSS_SELECTOR, "td.accuracy a")).perform()
    assert first(opened, "#tip").text.split("\n") == [
        "55.33 %, mean of 3 training seeds (54.00 to 56.67)",
        *re.findall(r"± [\d.]+ over 20 tasks from these images", first(opened, "#tip").text),
        *re.findall(r"± [\d.]+ over new classes and their images", first(opened, "#tip").text),
        "Rank 1 of 2 means over seeds",
        "Significantly better than 1, worse than 0, not different from 0",
        "Select it for all differences.",
    ]


def test_panel_compares_means_with_means_and_runs_with_runs(opened, page: Path):
    choose(opened, "rows", "measured")
    open_row(opened, "manifold-mixup paper", "nearest-mean")
    table = ".differences tbody tr"
    assert [text.split("\t")[0].split(",")[0] for text in texts(opened, table)] == ["erm cosine"]
    assert texts(opened, f"{table} td:nth-of-type(1)") == ["+4.22"]
    assert texts(opened, f"{table} td:last-child") == ["better"]
    assert "Means over three or more training seeds" in first(opened, ".differences").text

    next(chip for chip in every(opened, ".choices a") if chip.text == "seed 0").click()
    assert opened.switch_to.active_element.text == "seed 0"
    assert len(every(opened, table)) == 6
    differences = [float(text.replace("−", "-")) for text in texts(opened, f"{table} td:nth-of-type(1)")]
    assert differences == sorted(differences, reverse=True)
    address = opened.current_url.split("#")[1]
    visit(opened, page, f"#{address}")
    assert len(every(opened, table)) == 6, "the panel has an address"
    assert first(opened, "#panel").is_displayed()


def test_panel_of_a_run_has_the_numbers_of_the_comparison(opened):
    """The differences of a 5-shot accuracy from the others, with p after Holm over all pairs."""
    choose(opened, "rows", "measured")
    open_row(opened, texts(opened, "#table tbody th.name > a")[0])
    next(chip for chip in every(opened, ".choices a") if chip.text == "5-way 5-shot").click()
    rows = [re.sub(r"\s+", " ", text) for text in texts(opened, ".differences tbody tr")]
    assert any(text.endswith("+4.00 1.35 2.35 0.0001 better") for text in rows), rows
    assert [text.split()[-1] for text in rows].count("better") == 4
    assert [text.split()[-2:] for text in rows].count(["not", "different"]) == 2


def test_panel_has_commands_files_classes_and_papers(opened, page: Path):
    choose(opened, "rows", "measured")
    open_row(opened, "manifold-mixup paper", "nearest-mean")
    commands = texts(opened, ".command pre")[-6:]
    assert len(commands) == 6
    for command in commands:
        program, verb, file = command.split()[:3]
        assert (program, verb) == ("fsbench", "reproduce")
        assert (page.parent / file).is_file()
    assert "manifold-mixup: arXiv:1806.05236" in first(opened, "#panel").text
    links = {link.get_attribute("href") for link in every(opened, "#panel a")}
    assert "https://arxiv.org/abs/1806.05236" in links
    assert sum(link.endswith(".json") for link in links) == 6
    values = [float(text) for text in texts(opened, ".classes li > :last-child")]
    assert values == sorted(values, reverse=True)
    mean = float(texts(opened, "#panel tbody td")[0].split()[0])
    assert sum(values) / len(values) == pytest.approx(mean, abs=0.06)


def test_panel_is_a_dialog(opened):
    """It takes the focus; Escape, its button and the Back key close it, and the focus returns."""
    link = first(opened, "#table tbody th a")
    for close in ("escape", "button", "back"):
        opened.execute_script("arguments[0].focus()", link)
        ActionChains(opened).send_keys(Keys.ENTER).perform()
        assert first(opened, "#panel").is_displayed()
        assert opened.execute_script(
            "return document.getElementById('panel').contains(document.activeElement)"
        )
        assert "row=" in opened.current_url
        if close == "escape":
            ActionChains(opened).send_keys(Keys.ESCAPE).perform()
        elif close == "button":
            first(opened, "#panel-close").click()
        else:
            opened.back()
        settle(opened)
        assert not first(opened, "#panel").is_displayed()
        assert "row=" not in opened.current_url
        assert opened.switch_to.active_element == link


def test_training_curve(browser, page: Path, tmp_path: Path):
    """A checkpoint in the results folder, with its log, gives a curve and a command without training."""
    shutil.copytree(page.parent, tmp_path / "results")
    folder = tmp_path / "results" / "checkpoints"
    folder.mkdir()
    (folder / "it's.safetensors").write_bytes(b"weights")
    (folder / "it's.csv").write_text("epoch,val_accuracy,val_half_width\n1,0.5,0.01\n2,0.6,0.01\n")
    from fsbench._util.files import sha256_of

    base = next(iter(result_files.read_all(GOLDEN / "glyphs")))
    digest = sha256_of(folder / "it's.safetensors")
    result_files.write(tmp_path / "results", changed(base, dataset="new", run="curve", checkpoint=digest))
    visit(browser, leaderboard.update(tmp_path / "results", None)[2], "#dataset=new")
    first(browser, "#table tbody th a").click()
    assert len(first(browser, ".curve polyline").get_attribute("points").split()) == 2
    assert "--checkpoint 'checkpoints/it'\\''s.safetensors'" in first(browser, "#panel").text
    assert browser.get_log("browser") == []


def test_the_keyboard_alone_reaches_everything(opened):
    """Tab visits every control of the view; arrow keys select tabs, Enter sorts and opens."""
    choose(opened, "rows", "measured")
    opened.execute_script("document.activeElement.blur()")
    controls = "main :is(button, a, select, input, summary):not([disabled]):not([tabindex='-1'])"
    expected = {element.id for element in every(opened, controls) if element.is_displayed()}
    visited = set()
    for _ in range(len(expected) + 12):
        ActionChains(opened).send_keys(Keys.TAB).perform()
        visited.add(opened.switch_to.active_element.id)
    assert expected <= visited

    opened.execute_script("arguments[0].focus()", first(opened, "[aria-selected=true]"))
    ActionChains(opened).send_keys(Keys.ARROW_RIGHT).perform()
    assert first(opened, "[aria-selected=true]").get_attribute("data-dataset") == "own"
    ActionChains(opened).send_keys(Keys.HOME).perform()
    assert first(opened, "[aria-selected=true]").get_attribute("data-dataset") == "cifar-fs"

    opened.execute_script("arguments[0].focus()", first(opened, "[data-sort='5w1s']"))
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    assert first(opened, "th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert opened.switch_to.active_element == first(opened, "[data-sort='5w1s']"), "sorting keeps the focus"


def test_csv_holds_the_shown_rows(opened, tmp_path: Path):
    opened.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    tab(opened, "own")
    choose(opened, "rows", "measured")
    first(opened, "#csv").click()
    (own,) = download(tmp_path, "fsbench-own.csv")
    assert own["name"].startswith(HOSTILE)
    assert own["backbone"] == HOSTILE

    tab(opened, "cifar-fs")
    choose(opened, "rows", "all")
    choose(opened, "backbone", "conv4")
    first(opened, "#mixed").click()
    first(opened, "[data-sort='5w1s']").click()
    first(opened, "#csv").click()
    rows = download(tmp_path, "fsbench-cifar-fs.csv")
    assert [row["name"] for row in rows] == texts(opened, "#table tbody th.name > a")
    numbers = [float(row["5-way 1-shot accuracy percent"]) for row in rows]
    assert numbers == sorted(numbers, reverse=True)
    assert {row["kind"] for row in rows} == {"measured", "published"}
    mean = next(row for row in rows if row["seeds"] == "3")
    assert mean["source"].count(".json") == 6


def download(folder: Path, name: str) -> list[dict[str, str]]:
    """The lines of a file that the browser saves."""
    path, until = folder / name, time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_names_stay_text(opened):
    tab(opened, "own")
    assert opened.title == "fsbench leaderboard: few-shot image classification"
    assert every(opened, "img") == []
    assert len(every(opened, "script")) == 2
    assert texts(opened, "#table tbody th.name > a")[0].startswith(HOSTILE)
    assert HOSTILE in [option.text for option in Select(first(opened, "#recipe")).options]
    first(opened, "#table tbody th.name > a").click()
    assert first(opened, "#panel-title").text.startswith(HOSTILE)
    assert every(opened, "#panel img") == []


def test_header_and_first_column_stay_in_view(opened):
    tab(opened, "mini-imagenet")
    for box in every(opened, "[name=tasks]:not(:checked)"):
        opened.execute_script("arguments[0].checked = true", box)
    opened.execute_script(
        "document.querySelector('[name=tasks]').dispatchEvent(new Event('change', { bubbles: true }));"
        "const box = document.getElementById('scroll'); box.scrollTop = 900; box.scrollLeft = 300;"
    )
    box, head, name = (
        first(opened, css).rect for css in ("#scroll", "thead th:nth-child(3)", "tbody tr:nth-child(30) th")
    )
    assert abs(head["y"] - box["y"]) <= 2
    assert abs(name["x"] - box["x"]) <= 2
    assert opened.execute_script("return document.getElementById('scroll').scrollLeft") > 0


def test_ten_thousand_rows_are_drawn_in_pages(browser, page: Path, tmp_path: Path):
    """The browser holds a hundred rows at a time. Limits are generous, for busy machines."""
    before, data, after = re.split(
        r'(?<=type="application/json">)(.*?)(?=</script>)', page.read_text("utf-8"), maxsplit=1
    )
    values = json.loads(data)
    table = values["tables"][0]
    table["rows"] = [{**table["rows"][k % 3], "id": f"row-{k}", "name": f"r{k}"} for k in range(10_000)]
    table["checkpoints"] = table["recipes"] = [None, None]
    big = tmp_path / "big.html"
    big.write_text(before + json.dumps(values).replace("<", "\\u003c") + after, encoding="utf-8")
    visit(browser, big, "#rows=measured")
    assert first(browser, "#status").text.startswith("10,002 measured configurations")
    assert len(every(browser, "#table tbody tr")) == 101
    first(browser, "#pager [data-page='2']").click()
    assert texts(browser, "#table tbody th.name > a")[0] == "r100"
    began = time.monotonic()
    first(browser, "[data-sort='name']").click()
    assert time.monotonic() - began < 5
    first(browser, "#text").send_keys("r9999")
    assert len(every(browser, "#table tbody tr")) == 2
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(opened, page: Path, width: int):
    look(opened, width, "light")
    for address in views(page):
        visit(opened, page, address)
        assert not is_cut(opened, "html")
        if width == 900 and not address:
            assert not is_cut(opened, "#scroll"), "no column is hidden"


def is_cut(browser: webdriver.Chrome, css: str) -> bool:
    """Whether an element must be scrolled sideways."""
    return browser.execute_script(
        "const e = document.querySelector(arguments[0]); return e.scrollWidth > e.clientWidth", css
    )


def views(page: Path) -> list[str]:
    """Addresses of the page, of all rows mixed, and of the panels of a measured and a published row."""
    names = [row["id"] for row in rows_of(page)]
    return ["", "#memory=1&mixed=1", f"#row={names[0]}", f"#row={names[-1]}"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, page: Path, width: int, scheme: str):
    axe = axe_script()
    look(opened, width, scheme)
    for address in views(page):
        visit(opened, page, address)
        assert serious(opened, axe) == []


def rows_of(page: Path) -> list[dict]:
    data = page.read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
    return [row for table in json.loads(data)["tables"] for row in table["rows"]]


def axe_script() -> str:
    """The text of axe-core."""
    pytest.importorskip("axe_core_python")
    return files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")


def serious(browser: webdriver.Chrome, axe: str) -> list[str]:
    """The serious and critical findings of axe, contrast of text included."""
    browser.execute_script(axe)
    findings = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        axe.run().then((r) => done(r.violations.map((v) => [v.impact, v.id, v.nodes[0].html])), done);
        """
    )
    return [finding for finding in findings if finding[0] in ("serious", "critical")]


def test_cards_keep_the_meaning_of_a_table(opened):
    look(opened, 390, "light")
    assert first(opened, "#table").aria_role == "table"
    assert {head.aria_role for head in every(opened, "#table tbody th.name")} == {"rowheader"}
