"""A picture of which layers compression hurts."""

from __future__ import annotations

import io
from collections.abc import Sequence

from export.sensitivity import LayerEffect

_ROW_INCHES, _WIDTH_INCHES = 0.28, 9.0
_MOST_ROWS = 60


def effects_png(effects: Sequence[LayerEffect], title: str) -> bytes:
    """Two bars per layer side by side: drop of the metric, and error of the outputs. The worst is on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(effects)[:_MOST_ROWS][::-1]
    figure = Figure(figsize=(_WIDTH_INCHES, 1.3 + _ROW_INCHES * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    drops, errors = figure.subplots(1, 2, sharey=True)
    names = [effect.layer for effect in shown]
    drops.barh(names, [effect.drop_points for effect in shown], color="#b4503c")
    drops.axvline(0, color="0.3", linewidth=0.8)
    drops.set_xlabel("drop of the metric, points")
    errors.barh(names, [effect.output_error for effect in shown], color="#3c6eb4")
    errors.set_xlabel("RMS error of the outputs")
    for axes in (drops, errors):
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
