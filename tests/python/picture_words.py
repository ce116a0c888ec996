"""What is written in a picture, and where."""

from __future__ import annotations

from typing import Any


def all_words(figure: Any) -> list[tuple[str, Any]]:
    """Every word that is drawn, with its box in pixels."""
    figure.canvas.draw()
    drawn = list(figure.texts)
    drawn += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        drawn += axes.texts
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            drawn += [axis.label, axis.offsetText, *(tick.label1 for tick in ticks)]
    return [
        (text.get_text(), text.get_window_extent())
        for text in drawn
        if text.get_visible() and text.get_text().strip()
    ]
