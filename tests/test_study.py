"""A study's page holds its numbers in full, its pictures, and data as text only."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.pages.study import Figure, Section, Study, render_study, study_page

EVIL = '<img src=x onerror="alert(1)">'


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (640, 200), "white").save(buffer, "PNG")
    return buffer.getvalue()


def study(table: pd.DataFrame) -> Study:
    sections = [
        Section(f"One {EVIL}", "First.\n\nSecond.", table, ["accuracy"]),
        Section("Two", figures=[Figure(picture(), f"a curve {EVIL}")]),
    ]
    return Study(f"Title {EVIL}", f"Lead {EVIL}", sections, {"model": EVIL}, "tiny")


def test_every_number_is_on_the_page_in_full(tmp_path: Path) -> None:
    table = pd.DataFrame({"k": np.array([64, 4096]), "accuracy": [0.123456789, np.nan]})
    table["inertia"] = [1.5e-7, -2.25]
    render_study(study(table), str(tmp_path / "index.html"))
    text = (tmp_path / "index.html").read_text()
    found = {float(v) for v in re.findall(r'data-v="([^"]+)"', text)}
    assert found == {64.0, 4096.0, 0.123456789, 1.5e-7, -2.25}
    assert ">12.3\N{NO-BREAK SPACE}%<" in text and ">4,096<" in text and ">–<" in text
    assert re.findall(r'<p class="note">(.*?)</p>', text) == ["First.", "Second."]


def test_data_stay_text_and_pictures_lie_inside() -> None:
    text = study_page(study(pd.DataFrame({EVIL: [EVIL]})))
    assert EVIL not in text
    assert "onerror=&#34;" in text and "<img src=x" not in text
    assert re.findall(r'src="([^"]{0,22})', text) == ["data:image/png;base64,"]
    assert 'width="320" height="100"' in text and "http" not in text.replace("http-equiv", "")


def test_numbers_and_truths_of_numpy_read_as_those_of_python() -> None:
    table = pd.DataFrame({"r": np.array([np.nan, 0.5], np.float32), "alive": [True, False]})
    text = study_page(study(table))
    assert ">–<" in text and ">nan<" not in text
    assert ">True<" in text and ">False<" in text
