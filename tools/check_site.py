"""Look at the built site in a browser: ``python -m tools.check_site build/site``.

Each page is opened from its file at the width of a phone and of a desk. No page may be wider than the screen, load
anything from elsewhere, show a broken picture or raise an error of JavaScript. The reference has all public names.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import zlib
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_NAMES = (
    "nn nn.functional nn.init nn.utils nn.utils.rnn optim data metrics train tasks sklearn distributed report interop "
    "verification testing"
)
PACKAGES = ("", *_NAMES.split())
WIDTHS = (390, 1280)
BROKEN = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.getAttribute('src'))"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def missing_names(site: Path) -> list[str]:
    """Return the public names that the reference lacks; an alias may stand in the text of another name."""
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    documented = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    faults = []
    for package in PACKAGES:
        module = importlib.import_module(f"tinygrad_seq.{package}".rstrip("."))
        for name in module.__all__:
            ours = str(getattr(getattr(module, name), "__module__", "")).startswith("tinygrad_seq")
            if ours and f"{module.__name__}.{name}" not in documented and f">{name}</span>" not in text:
                faults.append(f"the reference has no {module.__name__}.{name}")
    return faults


def page_faults(page: Page, path: Path, elsewhere: list[str], errors: list[str]) -> list[str]:
    """Return what is wrong with one page."""
    faults = []
    elsewhere.clear()
    errors.clear()
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.goto(path.as_uri())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if (excess := page.evaluate(TOO_WIDE)) > 0:
            faults.append(f"is {excess} pixels wider than a screen of {width}")
    faults += [f"shows no picture {source}" for source in page.evaluate(BROKEN)]
    faults += [f"loads {url}" for url in elsewhere if not url.startswith(("file:", "data:"))]
    return [*faults, *errors]


def main(site: Path) -> None:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise SystemExit("check_site: expected Chromium, found none; install the package chromium.")
    faults = missing_names(site)
    pages = sorted(path for path in site.resolve().rglob("*.html") if "_static" not in path.parts)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        elsewhere: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: elsewhere.append(request.url))
        page.on("pageerror", lambda error: errors.append(f"raises {error}"))
        for path in pages:
            found = page_faults(page, path, elsewhere, errors)
            faults += [f"{path.relative_to(site.resolve())} {fault}" for fault in found]
        browser.close()
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{len(pages)} pages fit screens of {WIDTHS[0]} and {WIDTHS[1]} pixels and load nothing from elsewhere")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
