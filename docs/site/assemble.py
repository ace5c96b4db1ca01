"""Lay out the docs as a site: `make docs` builds it with zensical.

    python docs/site/assemble.py FOLDER     # what zensical reads: its settings, and pages
    python docs/site/assemble.py --check FOLDER/site

The Markdown stays as it is read in the repository; pages keep their places, so links between them
hold. Pages of the API come from docstrings, by name (`API`). The check holds the built site: every
link leads to something, and no page asks another machine for anything.
"""

from __future__ import annotations

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
NAV = {
    "Home": "index.md",
    "A camera's owner": {
        "A guide": "docs/guide.md",
        "From a camera to an alarm": "docs/live.md",
        "The dashboard": "docs/dashboard.md",
        "Footage": "docs/footage.md",
        "An archive": "docs/archive.md",
        "Beyond one box": "docs/scale.md",
    },
    "A researcher": {
        "How it works": "docs/how-it-works.md",
        "The models": "docs/models.md",
        "Measured results": "docs/results.md",
        "The papers' tables": "docs/reproduce.md",
        "Training on several devices": "docs/training.md",
        "What an AUC says": "docs/protocol.md",
        "Speed": "docs/speed.md",
    },
    "A programmer": {
        "The API": "docs/api.md",
        "Export: ONNX, torch": "docs/export.md",
        "Contributing": "CONTRIBUTING.md",
    },
    "Changes": "CHANGELOG.md",
}
"""Title -> page, or titles below it. Pages that no entry names are reached by links and search."""
API = {
    "Score videos and cameras": (
        "runtime.detector.load", "runtime.detector.Detector", "runtime.result.Result",
        "types.Score", "types.Frame", "sources.open_source",
    ),
    "Train": ("train.fit.fit", "train.wanted.Wanted", "train.take.Footage",
              "train.progress.Budget"),
    "Data sets": ("data.layouts.open_dataset", "data.dataset.Dataset", "data.dataset.Video"),
    "Judge scores": (
        "metrics.frame.frame_auc", "metrics.frame.macro_auc", "metrics.frame.average_precision",
        "metrics.frame.eer", "metrics.frame.tpr_at_fpr", "metrics.pairs.bootstrap",
        "metrics.pairs.bootstrap_difference", "metrics.events.event_score",
        "metrics.regions.region_criteria", "metrics.pixels.pixel_auc",
        "judging.protocol.Protocol", "judging.named.parse_protocols",
    ),
    "The scan": ("ops.scan.selective_scan",),
    "Your own model, source or sink": (
        "models.base.VADModel", "models.base.Prediction", "sources.base.Source",
        "sinks.base.Sink",
    ),
    "Errors": ("errors",),
}  # fmt: skip
"""Heading -> names below `oddframe`."""
COPIED = ("*.md", "docs/*.md", "docs/*.jpg", "docs/*.svg", "docs/*/*.jpg", "results/*/*.md",
          "results/*/*.svg", "deploy/*")  # fmt: skip
SETTINGS = """\
[project]
site_name = "oddframe"
site_description = "Video anomaly detection that learns what is normal from unlabelled footage"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}

[project.theme]
font = false
features = ["content.code.copy", "navigation.sections", "navigation.top", "search.highlight"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"

[project.plugins.search]

[project.plugins.mkdocstrings.handlers.python]
paths = ["{source}"]

[project.plugins.mkdocstrings.handlers.python.options]
docstring_style = "google"
heading_level = 3
show_root_heading = true
show_source = false
show_if_no_docstring = false
members_order = "source"
merge_init_into_class = true
"""


def assemble(out: Path) -> None:
    """Write everything that zensical reads into a folder, which is made anew."""
    shutil.rmtree(out, ignore_errors=True)
    pages = out / "pages"
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            place = pages / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".md":
                place = place.with_name(place.name.replace("README.md", "index.md"))
                place.write_text(page(path.read_text("utf8")), "utf8")
            elif path.is_file():
                shutil.copy(path, place)
    (pages / "docs/api.md").write_text(api(), "utf8")
    settings = SETTINGS.format(nav=_toml(NAV), source=(ROOT / "src").as_posix())
    (out / "zensical.toml").write_text(settings, "utf8")


def page(text: str) -> str:
    """A page of the repository as one of the site: a README is the index of its folder."""
    return re.sub(r"(\]\([^)\s]*)README\.md", r"\1index.md", text)


def api() -> str:
    """The page of the API."""
    parts = ["# The API\n\nWhat `import oddframe` offers, from the docstrings.\n"]
    for heading, names in API.items():
        parts.append(f"\n## {heading}\n")
        parts += [f"\n::: oddframe.{name}\n" for name in names]
    return "".join(parts)


def _toml(nav: dict[str, str | dict[str, str]]) -> str:
    def value(entry: str | dict[str, str]) -> str:
        return f'"{entry}"' if isinstance(entry, str) else _toml(entry)  # type: ignore[arg-type]

    return "[" + ", ".join(f'{{"{title}" = {value(entry)}}}' for title, entry in nav.items()) + "]"


class _Links(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.loads, self.anchors = set[str](), set[str](), set[str]()
        self.feed(path.read_text("utf8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As `HTMLParser` calls it."""
        known = {key: value for key, value in attrs if value}
        self.anchors |= {known[key] for key in ("id", "name") if key in known}
        if tag == "a" and "href" in known:
            self.links.add(known["href"])
        elif tag in ("img", "script", "link", "iframe", "source"):
            self.loads |= {known[key] for key in ("src", "href") if key in known}


def check(site: Path) -> list[str]:
    """What is wrong with a built site, a line each."""
    pages = {path: _Links(path) for path in sorted(site.rglob("*.html"))}
    wrong = [] if pages else [f"{site} holds no page"]
    for path, found in pages.items():
        name = path.relative_to(site).as_posix()
        wrong += [
            f"{name}: loads {address} from another machine"
            for address in sorted(found.loads)
            if re.match(r"(https?:)?//", address)
        ]
        for link in sorted(found.links | found.loads):
            if re.match(r"[a-z]+:|//|/", link):
                continue  # other sites; the page for addresses that are none has absolute ones
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{name}: {link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                wrong.append(f"{name}: {link} has no such place")
    return wrong


def main(arguments: list[str]) -> int:
    """Assemble, or check with `--check`; 1 where something is wrong."""
    if arguments[:1] == ["--check"] and len(arguments) == 2:
        wrong = check(Path(arguments[1]).resolve())
        print("\n".join(wrong) or "every link leads somewhere, nothing is loaded from elsewhere")
        return 1 if wrong else 0
    if len(arguments) == 1 and not arguments[0].startswith("-"):
        assemble(Path(arguments[0]))
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
