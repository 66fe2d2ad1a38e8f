"""The contract and the proof of an artifact as HTML, at the head of its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from demos.pages.subject import Opened
from sdk.artifact import PROVED, TRAINED, Artifact
from sdk.bench.words import size
from sdk.spec import Spec

_SHOWN_LABELS = 12
_HEX = 12
"""Digits of a hash that tell versions apart for people."""


def card(opened: Opened) -> str:
    """Name, contract, proof and measurements of one artifact; its whole contract folded away."""
    artifact, spec = opened.artifact, opened.spec
    evidence = artifact.manifest.evidence
    facts = [
        ("takes", takes(spec)),
        ("answers", answers(spec)),
        ("measured", "; ".join(f"{m.name} {m.text} ({m.interval}, {m.samples:,} of {m.split})"
                               for m in evidence.metrics[:3]) or "nothing"),
        ("proof", proof_words(opened)),
        ("file", f"{opened.label}, {size(artifact.size_bytes)}, {precision(artifact)}, "
                 f"runs on {opened.predictor.runtime.name}, "
                 f"version {artifact.manifest.payload_sha256[:_HEX]}"),
    ]  # fmt: skip
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return (
        f'<div class="ew-card"><div class="ew-head"><h2>{escape(spec.name)}</h2>{badge(artifact)}'
        f'<span class="ew-soft">task {escape(spec.task)} · network {escape(spec.network.name)}</span></div>'
        f"<dl>{rows}</dl><details><summary>The whole contract</summary><pre>{_contract(spec)}</pre></details>"
        "</div>"
    )


def badge(artifact: Artifact) -> str:
    """The status of the proof, coloured."""
    status = artifact.manifest.evidence.status
    kind = "good" if status == PROVED else "plain" if status == TRAINED else "warn"
    return f'<span class="ew-badge {kind}">{escape(status)}</span>'


def takes(spec: Spec) -> str:
    """What an item is, in words."""
    told = spec.input.to_json()
    kind = spec.input.kind
    if kind in ("image", "dicom", "free_image"):
        width, height = told["size_wh"]
        channels = {"grey": "grey"}.get(told["channels"], "colour")
        if kind == "free_image":
            return f"a {channels} picture of any size, from {told['smallest_px']} to {told['largest_px']} px"
        what = "a DICOM file or a picture" if kind == "dicom" else "a picture"
        return f"{what}, which it sees as {width}×{height} px {channels} ({told['resize']})"
    if kind in ("text", "prompt"):
        return f"a {'prompt' if kind == 'prompt' else 'text'} of up to {told['max_tokens']:,} tokens"
    if kind == "series":
        extra = [*told["past"], *told["known"]]
        beside = f" with {', '.join(extra)}" if extra else ""
        return f"{told['context']:,} rows of {told['target']}{beside}, one every {span(told['step_s'])}"
    if kind == "noise":
        return f"{told['dimensions']} random numbers, drawn from a seed"
    return "arrays: " + ", ".join(f"{info.name} {info}" for info in spec.input.tensors)


def answers(spec: Spec) -> str:
    """What an answer is, in words."""
    told, kind = spec.output.to_json(), spec.output.kind
    if "labels" in told:
        labels: Sequence[str] = told["labels"]
        more = f", … ({len(labels):,} in all)" if len(labels) > _SHOWN_LABELS else ""
        what = {"classification": "one of", "segmentation": "for every pixel one of"}.get(kind, "boxes of")
        return f"{what} {', '.join(labels[:_SHOWN_LABELS])}{more}"
    if kind == "forecast":
        shares = ", ".join(f"{level:g}" for level in told["levels"])
        rows = spec.input.to_json().get("horizon", "")
        return f"the next {rows} rows of {told['target']} {told['unit']}, quantiles {shares}".strip()
    words = {
        "picture": f"a picture ({told.get('channels')})",
        "embedding": f"a vector of {told.get('dimensions')} numbers",
        "generated_text": f"what follows, up to {told.get('max_tokens')} tokens at a time",
        "decoded_text": f"another text of up to {told.get('max_tokens')} tokens",
    }
    outputs = ", ".join(f"{info.name} {info}" for info in spec.graph().outputs)
    return words.get(kind, f"arrays: {outputs}")


def proof_words(opened: Opened) -> str:
    """What the file's proof says, and what its replay here showed."""
    parity, proof = opened.artifact.manifest.evidence.parity, opened.proof
    said = []
    if parity is not None:
        said.append(f"{parity.agreement:.2%} same answers as its checkpoint on {parity.samples:,} samples")
    if proof.samples:
        said.append(
            f"{proof.samples} golden samples replayed here: {proof.worst_difference:.1e} away at most, "
            f"{proof.tolerance:g} allowed"
        )
    return "; ".join(said) or "none in the file"


def precision(artifact: Artifact) -> str:
    """As it was asked for when the artifact was made."""
    asked: Any = artifact.manifest.evidence.precision.get("requested")
    return str(asked or "fp32")


def span(seconds: int) -> str:
    """A number of seconds in the largest unit that divides it."""
    for unit, each in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds % each == 0:
            count = seconds // each
            return unit if count == 1 else f"{count} {unit}s"
    return f"{seconds} s"


def _contract(spec: Spec) -> str:
    told = {"input": spec.input.described(), "output": spec.output.described(), "baked": list(spec.baked)}
    return escape(json.dumps(told, indent=1, ensure_ascii=False))
