"""What is seen in a drawn figure: its texts, which of them overlap, its pixels."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from cxrlib.chapters import style


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def pixels(figure: Figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style.style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other, and texts that reach over the figure's edge."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        (text, "the edge")
        for text, box in boxes
        if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    for index, (text, box) in enumerate(boxes):
        found += [
            (text, other) for other, near in boxes[:index] if box.shrunk(0.9, 0.9).overlaps(near.shrunk(0.9, 0.9))
        ]
    return found


def drawn_texts(figure: Figure) -> list[Text]:
    """The texts that end up on the picture: ticks outside an axis and axes that are off have others, never drawn."""
    seen: dict[int, Text] = {}
    with pytest.MonkeyPatch.context() as patch:
        draw = Text.draw
        patch.setattr(
            Text, "draw", lambda self, *values, **more: (seen.update({id(self): self}), draw(self, *values, **more))[1]
        )
        pixels(figure)
    return [text for text in seen.values() if text.get_visible() and text.get_text().strip()]
