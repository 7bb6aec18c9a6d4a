"""The contact sheet: its groups, marks and thumbnails, names of any kind, and the page in a browser."""

import io
import re
from base64 import b64decode
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from fsbench._util.errors import FsbenchError
from fsbench.prediction import Prediction, sheet, write_sheet
from tests.prediction.made import calibrated, held_out, made

HOSTILE = "</style><script>document.title='broken'</script><img src=x onerror=alert(1)>\"'&amp;{{ 1 + 1 }}"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two support images per class for three classes and twelve query images, each of one colour."""
    support, query = tmp_path / "support", tmp_path / "query"
    query.mkdir()
    for number, name in enumerate(("cat", "dog", "fox")):
        (support / name).mkdir(parents=True)
        for file in ("a.png", "b.png"):
            Image.new("RGB", (20, 20), (50 * number, 0, 0)).save(support / name / file)
    for row in range(12):
        Image.new("RGB", (40, 20), (20 * row, 100, 250 - 20 * row)).save(query / f"{row:02d}.png")
    return support, query


def page(prediction: Prediction, folders: tuple[Path, Path]) -> str:
    path = folders[0].parent / "sheet.html"
    write_sheet(prediction, *folders, path)
    return path.read_text(encoding="utf-8")


def sections(text: str) -> list[str]:
    return re.findall(r"<section.*?</section>", text, flags=re.DOTALL)


def figures(text: str) -> list[str]:
    return re.findall(r"<figure.*?</figure>", text, flags=re.DOTALL)


def words(html: str) -> str:
    """The text of HTML without tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def picture(figure: str) -> np.ndarray:
    (content,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', figure)
    with Image.open(io.BytesIO(b64decode(content))) as image:
        return np.asarray(image).astype(int)


def test_images_are_grouped_by_class_doubtful_ones_first(folders):
    scores = [[row % 3 == c and 0.25 * (1 + row) for c in range(3)] for row in range(12)]  # ever more sure
    groups = sections(page(calibrated(scores), folders))
    # Of row 10 the probability is e**2.75 / (e**2.75 + 2) = 0.887, of row 11 e**3 / (e**3 + 2) = 0.909.
    for class_row, (group, name) in enumerate(zip(groups, ("cat", "dog", "fox"), strict=True)):
        assert words(re.findall("<h2>.*?</h2>", group)[0]) == name
        assert words(re.findall("<p.*?</p>", group)[0]) == "4 images"
        headings = ["2 labelled images", "4 images, please check"]
        if class_row == 2:
            headings = ["2 labelled images", "3 images, please check", "1 image, sure"]
        assert [words(heading) for heading in re.findall("<h3>.*?</h3>", group)] == headings
        first, second, *queries = figures(group)
        assert [words(first), words(second)] == ["a.png", "b.png"]
        np.testing.assert_allclose(picture(first)[64, 64], (50 * class_row, 0, 0), atol=3)
        for figure, row in zip(queries, range(class_row, 12, 3), strict=True):
            assert picture(figure).shape == (64, 128, 3), "as large as a square of 128 pixels can hold"
            np.testing.assert_allclose(picture(figure)[32, 64], (20 * row, 100, 250 - 20 * row), atol=3)
            assert words(figure).endswith(f"{row:02d}.png")
            assert (" or " in words(figure)) == (row != 11), "a second choice unless it is sure"


def test_the_estimate_comes_first(folders):
    text = words(page(calibrated(np.eye(3)), folders).partition("<nav>")[0])
    accuracy = "Expected accuracy on your images: 100 % (approximate 95 % interval: 47 to 100 %)."
    assert f"3 images, 3 classes {accuracy}" in text
    assert "Sure, with a probability of at least 90 %: 0 of 3 images." in text
    assert "cannot be estimated" in words(page(made(np.eye(3)), folders))


def test_captions_name_the_two_most_likely_classes_or_the_actual_one(folders):
    images = ("cat/00.png", "dog/01.png", "02.png")
    for name in images[:2]:
        (folders[1] / name).parent.mkdir()
        (folders[1] / name[4:]).rename(folders[1] / name)
    scores = [[0, np.log(2), np.log(6)], [0, np.log(8), 0], [9, 1, 0]]
    text = page(calibrated(scores, images=images), folders)
    captions = {words(figure).split()[-1]: words(figure) for figure in figures(text)}
    assert captions["cat/00.png"] == "67 % fox or 22 % dog is cat cat/00.png"
    assert captions["dog/01.png"] == "80 % dog or 10 % cat dog/01.png"
    assert captions["02.png"] == ">99 % cat 02.png"
    assert "marks an image whose folder names another class" in words(text)
    uncalibrated = page(made([[9, 1, 0]], images=("02.png",)), folders)
    assert "another class" not in uncalibrated
    assert words(figures(uncalibrated)[2]) == "cat or dog 02.png", "no probability and no group of sure ones"
    assert "please check" not in uncalibrated


def test_images_of_no_class_are_a_group_of_their_own(folders):
    left_out = held_out(np.eye(3), [0, 1, 2], [1, 1, 1])
    prediction = made(np.eye(3), held_out=left_out, distances=np.array([0.5, 2, 1]), reject=True)
    *_, fox, none = sections(page(prediction, folders))
    assert words(re.findall("<h2>.*?</h2>", none)[0]) == "none of these"
    assert [words(figure) for figure in figures(none)] == ["most like dog 01.png"]
    assert words(figures(fox)[2]).endswith("02.png"), "at the largest accepted distance"


def test_a_class_with_very_many_images_shows_the_least_confident(folders, monkeypatch):
    monkeypatch.setattr(sheet, "MOST", 24)  # 8 per class
    group, *_ = sections(page(made([[1 + row, 0, 0] for row in range(12)]), folders))
    assert "12 images; the page shows the 8 least confident" in words(group)
    assert [words(figure).split()[-1] for figure in figures(group)[2:]] == [f"{n:02d}.png" for n in range(8)]


def test_names_stay_text_and_nothing_is_requested(folders):
    support = {HOSTILE: ("a.png", "b.png"), "кошка": ("a.png",), "قط": ("a.png",)}
    for name in support:
        (folders[0] / name).mkdir(parents=True)
        for file in support[name]:
            Image.new("L", (4, 4)).save(folders[0] / name / file)
    text = page(made(np.eye(3), support=support, run=HOSTILE), folders)
    assert "<script" not in text
    assert text.count("<img ") == text.count('src="data:image/jpeg;base64,') == 4 + 3
    assert HOSTILE in unescape(text)
    assert "<bdi>قط</bdi>" in text, "a name has its own direction"
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert not re.search(r"https?://|url\(", text)


def test_only_pages_are_written(folders):
    with pytest.raises(FsbenchError, match=r"--sheet .*sheet\.png: must end in \.html"):
        write_sheet(made([[1, 0, 0]]), *folders, folders[0].parent / "sheet.png")


@pytest.mark.browser
def test_the_page_in_a_browser(folders, browser):
    """All images are shown, names stay text, the console is empty, and a phone scrolls in one direction."""
    (folders[0] / HOSTILE).mkdir(parents=True)
    for file in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(folders[0] / HOSTILE / file)
    support = {"cat": ("a.png",), "dog": ("b.png",), HOSTILE: ("a.png", "b.png")}
    page(made(np.eye(3)[[0, 1, 2]] * 3, support=support), folders)
    browser.get((folders[0].parent / "sheet.html").as_uri())
    images = browser.find_elements(By.TAG_NAME, "img")
    assert [image.get_property("naturalWidth") for image in images] == [128] * (4 + 3)
    assert browser.title == "3 images, 3 classes"
    assert HOSTILE in [heading.text for heading in browser.find_elements(By.TAG_NAME, "h2")]
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    assert browser.get_log("browser") == []
