"""Formulas as MathML, written when the book is built: no script, no font and no other host is needed to read them."""

import re
from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)


def to_mathml(latex: str, display: str) -> str:
    """One `<math>` element; `alttext` holds the TeX for readers whose software does not know MathML.

    Raises ValueError where the converter let a command or an ampersand through as if it were a letter.
    """
    known = re.sub(r"\\(begin|end)\{(aligned|align|split|gather|gathered)\*?\}", r"\\\1{align*}", latex)
    element = convert(known, display=display)
    left_over = re.search(r"\\[A-Za-z]+|&(?!#?\w+;)", element)
    if left_over:
        raise ValueError(f"`{left_over[0]}` is not understood")
    return element.replace("<math ", f'<math alttext="{escape(" ".join(latex.split()), quote=True)}" ', 1)


def visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_converted(node, node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    latex = node.astext().strip()
    if r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{align*}}{latex}\end{{align*}}"
    translator.body.append(translator.starttag(node, "div", CLASS="math-display"))
    translator.body.append(_converted(node, latex, "block"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})</span>')
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _converted(node: nodes.Node, latex: str, display: str) -> str:
    try:
        return to_mathml(latex, display)
    except Exception as error:  # the converter's errors have no common base
        logger.warning("formula can't be written as MathML: %s: %s", latex, error, location=node)
        return f"<code>{escape(latex)}</code>"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
