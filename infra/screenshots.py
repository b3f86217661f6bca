"""The pictures of the README: pages of a demo study and its atlas, as Chromium shows them.

    bash infra/screenshots.sh [STUDY] [SERIES]     SERIES: what infra/twelve_weeks.sh made

Each picture has one page at desktop width beside the same page at phone width, one of the two in
the dark scheme.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

DESKTOP, PHONE = 1280, 390
GAP = 40
SCALE = 0.75  # of the picture to the page
QUALITY = 86
BEHIND = "#d9d6ce"


def shot(browser: Browser, url: str, width: int, height: int, colours: str) -> Image.Image:
    """The upper part of a page."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=colours,  # type: ignore[arg-type]
        device_scale_factor=1 if width == DESKTOP else 1.5,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_load_state("networkidle")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def beside(browser: Browser, page: Path, height: int, dark: str) -> Image.Image:
    """Desktop and phone side by side; `dark` names the one in the dark scheme."""
    url = page.resolve().as_uri()
    schemes = {name: "dark" if name == dark else "light" for name in ("desktop", "phone")}
    wide = shot(browser, url, DESKTOP, height, schemes["desktop"])
    narrow = shot(browser, url, PHONE, height, schemes["phone"])
    size = DESKTOP + GAP + PHONE, height
    sheet = Image.new("RGB", size, BEHIND)
    sheet.paste(wide, (0, 0))
    sheet.paste(narrow, (DESKTOP + GAP, 0))
    return sheet.resize([round(side * SCALE) for side in size], Image.Resampling.LANCZOS)


def main(study: Path, out: Path, series: Path | None = None) -> None:
    """Every picture of the README, into `out`; that of an audit only from a series."""
    pages = {
        "report": (study / "comparison/index.html", 1500, "phone"),
        "atlas": (study / "atlas/index.html", 1500, "desktop"),
        "atlas_pair": (study / "atlas/pairs/2-456.html", 1400, "phone"),  # yellow
        "atlas_neuron": (study / "atlas/neurons/0.html", 1400, "desktop"),  # trees
    }
    if series is not None:
        pages["audit"] = (series / "audits/2026-W10/index.html", 1500, "phone")
    out.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for name, (page, height, dark) in pages.items():
            picture = beside(browser, page, height, dark)
            file = out / f"{name}.jpg"
            picture.save(file, quality=QUALITY, subsampling=0, optimize=True)
            print(file, file.stat().st_size)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
