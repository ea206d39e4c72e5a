"""What a page says beside its text: to search engines, to the book's own search, to who wants to run or discuss it."""

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

LONGEST_DESCRIPTION = 200
# Words for one thing: a page that has one is found by the others too.
SYNONYMS = (
    ("licence", "license", "licensing", "copyright"),
    ("area under the roc curve", "auc", "auroc", "roc"),
    ("sensitivity", "recall", "tpr"),
    ("specificity", "recall of negatives", "tnr", "fpr"),
    ("precision", "positive predictive value", "ppv"),
    ("average precision", "auprc", "pr"),
    ("interval", "ci", "confidence", "uncertainty"),
    ("film", "radiograph", "radiography", "x-ray", "xray", "cxr", "image"),
    ("generator", "gan", "stylegan"),
    ("tuning", "validation"),
    ("synthetic", "generated", "fake"),
    ("leakage", "leak", "contamination"),
    ("reader", "radiologist", "observer", "rater"),
    ("kernel distance", "kid"),
    ("fréchet distance", "fid"),
    ("grad-cam", "attention", "saliency", "heatmap", "explanation"),
    ("net benefit", "decision curve"),
    ("calibration", "brier", "temperature"),
    ("flagged", "memorisation", "memorization", "copies", "privacy"),
    ("shift", "domain"),
    ("ethics", "irb", "consent"),
    ("cite", "citation", "bibtex", "doi"),
    ("arm", "experiment", "ablation"),
)


class WordsToSearchBy(SphinxTransform):
    """Give each page, as keywords that nobody sees, the other words for what it speaks of."""

    default_priority = 900

    def apply(self, **_: Any) -> None:
        text = self.document.astext().lower()
        groups = [group for group in SYNONYMS if any(re.search(rf"\b{re.escape(word)}", text) for word in group)]
        words = {part for group in groups for word in group for part in word.split()}
        if words:
            self.document.append(nodes.meta("", name="keywords", content=", ".join(sorted(words))))


def description(doctree: nodes.document | None, otherwise: str) -> str:
    """The first paragraph that is a sentence or more, in one line."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree is not None else []
    texts = [re.sub(r"<[^<>]*>", "", node.astext()) for node in paragraphs]
    text = " ".join(next((text for text in texts if len(text) > 40), otherwise).split())
    return text if len(text) <= LONGEST_DESCRIPTION else text[:LONGEST_DESCRIPTION].rsplit(" ", 1)[0] + " …"


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """What a page is about, for search engines and for previews of links; its title once, and lists that are lists."""
    # An entry of a bibliography is no item of a list to screen readers.
    for wrong in (' role="list"', ' role="doc-biblioentry"'):
        context["body"] = context.get("body", "").replace(f'<div{wrong} class="citation', '<div class="citation')
        context["body"] = re.sub(rf'(<div class="citation"[^>]*){wrong}', r"\1", context["body"])
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))
    book = context.get("docstitle") or ""
    if page == "index":
        context["title"] = "Answer and contents"
    short = description(doctree, book)
    said = {"description": short, "twitter:card": "summary", "cxr:study": app.config.html_context.get("study", ""),
            "cxr:commit": app.config.html_context.get("commit", "")}  # fmt: skip
    previews = {
        "og:type": "article",
        "og:title": book if page == "index" else title,
        "og:description": short,
        "og:site_name": book,
    }
    tags = [f'<meta name="{key}" content="{escape(value)}">' for key, value in said.items() if value]
    tags += [f'<meta property="{key}" content="{escape(value)}">' for key, value in previews.items() if value]
    if page == "search":
        # From a folder a browser lets no page read another, from which Sphinx takes its excerpts.
        # Addresses are left out: in a program they would be taken for something that is loaded.
        found = {name: description(app.env.get_doctree(name), "") for name in sorted(app.env.found_docs)}
        texts = {name: re.sub(r"\S*//\S*", "…", text) for name, text in found.items()}
        told = json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")
        tags.append(f'<script type="application/json" id="page-descriptions">{told}</script>')
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def open_elsewhere(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Links to run a chapter and a place for comments, each only where the study file asks for it."""
    launch, comments = (app.config.html_context.get(name) for name in ("cxr_launch", "cxr_comments"))
    chapter = page.removeprefix("chapters/")
    if launch and chapter != page:
        links = "".join(f'<a href="{escape(address)}">{name}</a>' for name, address in launch_links(launch, chapter))
        context["body"] = context["body"].replace("</h1>", f'</h1><p class="launch">Run this chapter: {links}</p>', 1)
    if comments and doctree is not None:
        asked = {"repo": "repository", "repo-id": "repository_id", "category": "category", "category-id": "category_id"}
        said = "".join(f' data-{key}="{escape(comments[name])}"' for key, name in asked.items())
        context["body"] += (
            '<section class="comments" aria-label="Comments"><script src="https://giscus.app/client.js"'
            f'{said} data-mapping="pathname" data-theme="preferred_color_scheme" crossorigin="anonymous" async>'
            "</script></section>"
        )


def launch_links(launch: Mapping[str, Any], chapter: str) -> list[tuple[str, str]]:
    """Name and address of each place where a chapter can be run."""
    repository, branch = launch["repository"], launch["branch"]
    notebook = f"notebooks/{chapter}.ipynb"
    pulled = quote(f"https://github.com/{repository}", "")
    folder = repository.partition("/")[2]
    hub = f"{launch['jupyterhub'].rstrip('/')}/hub/user-redirect/git-pull?repo={pulled}&branch={quote(branch, '')}"
    places = {
        "JupyterHub": f"{hub}&urlpath={quote(f'lab/tree/{folder}/{notebook}', '')}" if launch["jupyterhub"] else "",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{quote(branch, '')}?labpath={quote(notebook, '')}"
        if launch["binder"] else "",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{branch}/{notebook}"
        if launch["colab"] else "",
    }  # fmt: skip
    return [(name, address) for name, address in places.items() if address]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(WordsToSearchBy)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", open_elsewhere)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
