"""Galleries: matching, files, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import ArtifactError, InputError, UsageError
from sdk import Predictor
from sdk.command import main
from sdk.gallery import Gallery
from tests.light_artifact import write_light_artifact
from tests.light_embedding import plain, write_light_embedding

COLOURS = {"blue": (20, 20, 230), "green": (20, 230, 20), "red": (230, 20, 20)}
ROUNDING = 1e-6


@pytest.fixture
def gallery() -> Gallery:
    """Three directions of a plane: right, up and left."""
    made = Gallery(2)
    for label, vector in (("right", [1, 0]), ("up", [0, 3]), ("left", [-2, 0])):
        made.add(label, np.array(vector, np.float32))
    return made


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_light_embedding(tmp_path / "e.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures of each colour, in a folder per colour."""
    root = tmp_path / "pictures"
    for label, colour in COLOURS.items():
        (root / label).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(plain(colour) + np.uint8(number)).save(root / label / f"{number}.png")
    return root


def _vector(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def test_match_ranks_by_cosine(gallery: Gallery) -> None:
    matches = gallery.match(_vector(4, 3))
    assert [(m.label, m.index) for m in matches] == [("right", 0), ("up", 1), ("left", 2)]
    assert [m.similarity for m in matches] == pytest.approx([0.8, 0.6, -0.8], abs=ROUNDING)


@pytest.mark.parametrize(
    ("how", "labels"),
    [
        ({"top_k": 1}, ["right"]),
        ({"threshold": 0.5}, ["right", "up"]),
        ({"threshold": 0.9}, []),
        ({"top_k": 1, "threshold": 0.5}, ["right"]),
    ],
    ids=str,
)
def test_match_is_limited(gallery: Gallery, how: dict[str, Any], labels: list[str]) -> None:
    assert [match.label for match in gallery.match(_vector(4, 3), **how)] == labels


def test_equal_entries_match_in_the_order_of_adding() -> None:
    gallery = Gallery(2)
    for label in "bac":
        gallery.add(label, _vector(1, 1))
    assert [match.label for match in gallery.match(_vector(1, 1))] == ["b", "a", "c"]


def test_match_in_an_empty_gallery_finds_nothing() -> None:
    assert Gallery(2).match(_vector(1, 0)) == ()


def test_entries_added_after_a_match_are_found(gallery: Gallery) -> None:
    gallery.match(_vector(0, -1))
    gallery.add("down", _vector(0, -1))
    assert gallery.match(_vector(0, -1))[0].label == "down"
    assert len(gallery) == 4


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (_vector(1, 2, 3), r"got an array \(3,\), expected a vector \(2,\)"),
        (_vector(0, 0), "got zeros, or numbers that are not finite"),
        (_vector(np.nan, 1), "got zeros, or numbers that are not finite"),
    ],
    ids=["other dimensions", "zeros", "NaN"],
)
def test_vectors_without_a_direction_are_refused(gallery: Gallery, vector: np.ndarray, message: str) -> None:
    for use in (gallery.match, lambda v: gallery.add("x", v)):
        with pytest.raises(InputError, match=message):
            use(vector)
    assert len(gallery) == 3


def test_no_matches_cannot_be_asked_for(gallery: Gallery) -> None:
    with pytest.raises(UsageError, match="'top_k': got 0"):
        gallery.match(_vector(1, 0), top_k=0)


def test_file_gives_the_same_gallery_back(gallery: Gallery, tmp_path: Path) -> None:
    gallery.model = "abc"
    again = Gallery.load(gallery.save(tmp_path / "g.npz"))
    assert (again.labels, again.model, again.dimensions) == (gallery.labels, "abc", 2)
    np.testing.assert_array_equal(again.vectors, gallery.vectors)
    again.add("down", _vector(0, -1))
    assert again.match(_vector(0, -1))[0].index == 3


def test_empty_gallery_can_be_stored(tmp_path: Path) -> None:
    assert len(Gallery.load(Gallery(5).save(tmp_path / "g.npz"))) == 0


def _stored(path: Path, **changes: Any) -> Path:
    fields = {
        "version": np.int64(1),
        "model": np.str_(""),
        "labels": np.array(["a"]),
        "vectors": np.array([[0.6, 0.8]], np.float32),
    }
    np.savez(path, **{name: value for name, value in {**fields, **changes}.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": np.int64(2)}, "got version 2"),
        ({"labels": None}, "labels"),
        ({"labels": np.array(["a", "b"])}, r"labels \(2,\) and vectors float32 \(1, 2\)"),
        ({"labels": np.array([["a"], 1], object)}, "Object arrays cannot be loaded"),
        ({"vectors": np.array([[3, 4]], np.float32)}, "not of length one"),
        ({"vectors": np.array([[np.nan, 1]], np.float32)}, "not of length one"),
        ({"vectors": np.array([[0.6, 0.8]])}, "vectors float64"),
    ],
    ids=["version", "no labels", "fewer vectors", "pickle", "length", "NaN", "dtype"],
)
def test_damaged_galleries_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _stored(tmp_path / "g.npz", **changes)
    with pytest.raises(ArtifactError, match=message) as caught:
        Gallery.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "cut"])
def test_files_that_are_no_galleries_are_refused(
    gallery: Gallery, tmp_path: Path, content: bytes | None
) -> None:
    path = gallery.save(tmp_path / "g.npz")
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ArtifactError, match="Gallery 'g.npz': got "):
        Gallery.load(path)


def test_gallery_knows_its_model(artifact: Path, light_artifact: Path, tmp_path: Path) -> None:
    other = write_light_embedding(tmp_path / "other.onnx", parent="b" * 64)
    with Predictor(artifact) as first, Predictor(other) as second, Predictor(light_artifact) as classifier:
        gallery = Gallery.of(first.artifact)
        gallery.require_model(first.artifact)
        Gallery(3).require_model(second.artifact)
        with pytest.raises(UsageError, match=r"other.onnx': got another model .*bbbb.* the gallery's .*aaaa"):
            gallery.require_model(second.artifact)
        with pytest.raises(UsageError, match="'product', which gives no vectors"):
            Gallery.of(classifier.artifact)


def test_command_makes_a_gallery_and_finds_in_it(
    artifact: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "colours.npz"
    assert main(["gallery", "make", str(artifact), str(pictures), "--out", str(out)]) == 0
    assert "6 vectors of 3 labels, 3 dimensions" in capsys.readouterr().out
    reddish = tmp_path / "reddish.png"
    Image.fromarray(plain((220, 30, 10))).save(reddish)

    words = ["gallery", "match", str(out), str(artifact), str(reddish), "--top-k", "3"]
    assert main([*words, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["input"] == str(reddish)
    assert [match["label"] for match in answer["matches"][:2]] == ["red", "red"]
    assert len(answer["matches"]) == 3
    assert main([*words, "--threshold", "0.9"]) == 0
    assert capsys.readouterr().out.count("red 0.") == 2
    assert main([*words, "--threshold", "1.1"]) == 0
    assert "reddish.png: nothing like it" in capsys.readouterr().out


def test_command_keeps_a_gallery_that_is_there(
    artifact: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gallery", "make", str(artifact), str(pictures), "--out", str(tmp_path / "g.npz")]
    (tmp_path / "g.npz").write_bytes(b"mine")
    assert main(words) == 2
    assert (tmp_path / "g.npz").read_bytes() == b"mine"
    assert main([*words, "--overwrite"]) == 0
    assert len(Gallery.load(tmp_path / "g.npz")) == 6


BAD_WORDS = {
    "no folder": ("e.onnx", "nowhere", "g.npz", "Folder 'nowhere': got no such folder"),
    "no labels": ("e.onnx", "pictures/blue", "g.npz", "Folder 'blue': got no folders in it"),
    "suffix": ("e.onnx", "pictures", "g.bin", "Gallery 'g.bin': got the suffix '.bin'"),
    "classifier": ("light.onnx", "pictures", "g.npz", "which gives no vectors"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
@pytest.mark.usefixtures("artifact", "pictures")
def test_command_says_in_one_line_what_is_wrong(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_light_artifact(tmp_path / "light.onnx")
    model, folder, out, message = BAD_WORDS[case]
    words = [str(tmp_path / model), str(tmp_path / folder), "--out", str(tmp_path / out)]
    assert main(["gallery", "make", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / out).exists()
