"""The input of a page by the input kind of the spec: what a person fills in, and the item that it means."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demos.pages.handling import answered
from demos.pages.picture_field import PictureField
from demos.pages.subject import Subject
from runtimes import Dim, TensorInfo
from sdk.inputs.image import ImageInput
from sdk.kinds import InputKind

MOST_EXAMPLES = 8
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Field:
    """An input of a page.

    Attributes:
        component: What is filled in; already on the page.
        item: From its value to what `Predictor.predict` takes; None where nothing is filled in.
        examples: Values for it.
        labels: What the examples are called, where they are not shown themselves.
        what: What the examples are.
    """

    component: Any
    item: Callable[[Any], Any]
    examples: list[Any]
    labels: list[str] | None = None
    what: str = "Golden samples of the artifact"

    def offer_examples(self) -> None:
        """Put the examples on the page; nothing where there are none."""
        if self.examples:
            gr.Examples(
                [[value] for value in self.examples],
                [self.component],
                label=f"{self.what}: click one",
                example_labels=self.labels,
                examples_per_page=MOST_EXAMPLES,
                cache_examples=False,
                api_visibility="private",
            )


def field_for(subject: Subject, folder: Path) -> Field:
    """The input of a model, on the page that is being built, with the artifact's golden samples as examples.

    Args:
        subject: The model.
        folder: For the files of examples.
    """
    kind = subject.spec.input
    golden = [sample.item() for sample in subject.opened[0].artifact.manifest.samples[:MOST_EXAMPLES]]
    if isinstance(kind, ImageInput):
        return picture_field(_files(golden, folder, "png"), dicom=kind.kind == "dicom", kind=kind)
    if kind.kind in ("text", "prompt"):
        return _text_field(golden, kind.kind == "prompt")
    if kind.kind == "series":
        return _series_field(golden, kind)
    if kind.kind == "noise":
        return _seed_field(golden)
    return _arrays_field(golden, folder, kind)


def picture_field(
    examples: list[Any], *, kind: InputKind, dicom: bool = False, label: str = "Picture"
) -> Field:
    """A picture by upload, webcam or clipboard; DICOM files by a button."""
    component = PictureField(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        label=label,
        height=320,
        buttons=["fullscreen"],
        elem_classes="ew-picture",
    )
    if dicom:
        button = gr.UploadButton("Open a DICOM file", file_types=[".dcm"], size="sm")
        button.upload(_as_picture(kind), button, component, api_visibility="private")
    return Field(component, lambda path: Path(path) if path else None, examples)


def _as_picture(kind: InputKind) -> Callable[[Any], Any]:
    def handler(path: str) -> str:
        shown = Path(path).with_suffix(".png")
        shown.write_bytes(kind.encode(kind.load(Path(path)).source))
        return str(shown)

    return answered(handler)


def _text_field(golden: list[bytes], prompt: bool) -> Field:
    component = gr.Textbox(
        label="Prompt" if prompt else "Text", lines=4, max_lines=10, placeholder="Type, or click an example"
    )
    texts = [text for text in (item.decode() for item in golden) if text.strip()]
    return Field(
        component, (lambda text: text or "") if prompt else _text_item, texts, [_short(t) for t in texts]
    )


def _text_item(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _series_field(golden: list[bytes], kind: Any) -> Field:
    columns = ", ".join((kind.time, *kind.names))
    component = gr.Textbox(
        label=f"Series as CSV: {columns}",
        lines=12,
        max_lines=12,
        placeholder=f"{kind.time},{','.join(kind.names)}\n2024-01-01T00:00:00,…",
        elem_classes="ew-mono",
    )
    button = gr.UploadButton("Open a CSV file", file_types=[".csv"], size="sm")
    button.upload(_read_text, button, component, api_visibility="private")
    labels = [f"up to {kind.load(item).source.times[kind.context - 1]}" for item in golden]
    return Field(
        component,
        lambda text: text.encode() if text and text.strip() else None,
        [item.decode() for item in golden],
        labels,
    )


def _read_text(path: str) -> str:
    return Path(path).read_bytes().decode(errors="replace")


def _seed_field(golden: list[bytes]) -> Field:
    component = gr.Number(label="Seed", value=0, precision=0, minimum=0)
    seeds = [int(item) for item in golden if item.isdigit() and int(item) < 2**32]
    return Field(component, lambda seed: None if seed is None else int(seed), seeds or [0, 1, 2, 3])


def _arrays_field(golden: list[bytes], folder: Path, kind: Any) -> Field:
    component = gr.File(
        label="Arrays (.npz, or .npy for a single one)", file_types=[".npz", ".npy"], height=120
    )
    what = "Golden samples of the artifact"
    if not golden:
        golden, what = [_drawn(kind.tensors, seed) for seed in range(3)], "Random numbers of the right shapes"
    paths = _files(golden, folder, "npz")
    return Field(
        component, lambda path: Path(path) if path else None, paths, [Path(p).name for p in paths], what
    )


def _drawn(tensors: tuple[TensorInfo, ...], seed: int) -> bytes:
    """Numbers of the dtypes and shapes that a graph takes, the smallest where open, as an ``.npz``."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for info in tensors:
        shape = [max(1, extent.min) if isinstance(extent, Dim) else extent for extent in info.shape]
        whole = np.dtype(info.dtype).kind != "f"
        drawn = generator.integers(0, 2, shape) if whole else generator.normal(size=shape)
        arrays[info.name] = drawn.astype(info.dtype)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _files(items: list[bytes], folder: Path, suffix: str) -> list[str]:
    """Items as files of a folder of their own."""
    own = folder / f"examples-{len(list(folder.iterdir()))}"
    own.mkdir()
    paths = [own / f"sample_{number}.{suffix}" for number in range(1, len(items) + 1)]
    for path, item in zip(paths, items, strict=True):
        path.write_bytes(item)
    return [str(path) for path in paths]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
