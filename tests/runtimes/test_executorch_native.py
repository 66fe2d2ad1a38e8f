"""Both routes into ExecuTorch: they answer alike; the native one needs no torch and survives bad programs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtimes import EngineError, EngineMissingError, Program, UsageError, executorch_native, open_runtime
from runtimes.executorch_native import NativeProgram
from runtimes.executorch_runtime import read_methods
from runtimes.executorch_shim import FOLDER_VARIABLE, file_name, find_package
from tests.runtimes.shim import use_shim
from tests.runtimes.small_pte import DELEGATED, MAX_BATCH, NODES, pictures, several_pte, small_cnn_pte

RUN_IN_NEW_PROCESS = """
import json, sys
from pathlib import Path
import numpy as np
from runtimes import Program, open_runtime

with open_runtime(".pte", Program(Path(sys.argv[1]).read_bytes())) as runtime:
    (info,) = runtime.inputs
    (scores,) = runtime.run({info.name: np.zeros(info.shape, info.dtype)}).values()
    found = {"report": runtime.report(), "shape": scores.shape}
    found["layers"] = len(runtime.profile({info.name: np.zeros(info.shape, info.dtype)}, 2))
found["loaded"] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(found))
"""
DAMAGE = """
import json, random, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from runtimes import EngineError, Program, open_runtime

good, seeds = Path(sys.argv[1]).read_bytes(), range(int(sys.argv[2]))
counts = {"refused": 0, "ran": 0}

def damaged(data, random):
    data = bytearray(data)
    how = random.choice(["bits", "cut", "zeros", "noise", "head"])
    if how == "cut":
        return data[: random.randrange(len(data))]
    if how == "bits":
        for _ in range(random.choice([1, 8])):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return data
    if how == "head":  # most of the program's own tables, not weights
        for _ in range(4):
            data[random.randrange(min(len(data), 4096))] = random.randrange(256)
        return data
    start = random.randrange(len(data) - 64)
    data[start : start + 64] = bytes(64) if how == "zeros" else random.randbytes(64)
    return data

for seed in seeds:
    try:
        with open_runtime(".pte", Program(bytes(damaged(good, random.Random(seed)))), native=True) as runtime:
            runtime.run({i.name: np.zeros(i.shape, i.dtype) for i in runtime.inputs})
            runtime.report()
        counts["ran"] += 1
    except EngineError as error:
        assert chr(10) not in str(error)
        counts["refused"] += 1
print(json.dumps(counts))
"""
DAMAGED_PROGRAMS = 150


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    use_shim(monkeypatch)


@pytest.fixture
def program() -> Program:
    return small_cnn_pte()


def test_routes_answer_exactly_alike(program: Program) -> None:
    with (
        open_runtime(".pte", program, native=True) as native,
        open_runtime(".pte", program, native=False) as python,
    ):
        for batch in (1, MAX_BATCH, 2):
            x = {"image": pictures(batch, seed=batch)}
            np.testing.assert_array_equal(native.run(x)["scores"], python.run(x)["scores"])
        assert native.delegated_fraction == python.delegated_fraction == DELEGATED / NODES
        reports = native.report(), python.report()
    assert [report["route"] for report in reports] == ["native", "python"]
    assert reports[0]["version"] == reports[1]["version"]
    assert reports[0]["threads"] == reports[1]["threads"]  # one pool, whoever asks


@pytest.mark.parametrize("native", [True, False], ids=["native", "python"])
def test_methods_are_read_without_loading_them(program: Program, native: bool) -> None:
    methods = read_methods(program.data, native=native)
    assert sorted(methods) == ["edgewright_all_nodes", "edgewright_delegated_nodes", "forward"]
    forward = methods["forward"]
    assert [(meta.dtype, meta.sizes) for meta in forward.inputs] == [("uint8", (MAX_BATCH, 12, 12, 1))]
    assert [(meta.dtype, meta.sizes) for meta in forward.outputs] == [("float32", (MAX_BATCH, 3))]
    assert forward.delegates == (("XnnpackBackend",) if native else None)
    assert methods["edgewright_all_nodes"].outputs == (None,)  # a number
    with pytest.raises(EngineError, match="ExecuTorch program: got InvalidProgram"):
        read_methods(program.data[:100], native=True)


@pytest.mark.parametrize("native", [True, False], ids=["native", "python"])
def test_method_that_returns_a_number_is_no_graph(program: Program, native: bool) -> None:
    with pytest.raises(EngineError, match=r"ExecuTorch output 0: got something that is not a tensor"):
        open_runtime(".pte", Program(program.data, graph="edgewright_all_nodes"), native=native)


@pytest.mark.parametrize("native", [True, False], ids=["native", "python"])
def test_several_inputs_and_outputs_keep_order_and_types(native: bool) -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.array([[1, 2, 2**40], [-4, 5, 6]])
    with open_runtime(".pte", several_pte(), native=native) as runtime:
        outputs = runtime.run({"b": b, "a": a})
        assert runtime.delegated_fraction is None
    np.testing.assert_array_equal(outputs["more"], a + 1)
    np.testing.assert_array_equal(outputs["twice"], b * 2)
    np.testing.assert_array_equal(outputs["sum"], a.sum(1))
    assert [outputs[name].dtype for name in ("more", "twice", "sum")] == [np.float32, np.int64, np.float32]


def test_native_is_used_where_it_is_built_and_says_so(program: Program) -> None:
    with open_runtime(".pte", program) as runtime:
        report = runtime.report()
    assert (report["route"], report["route_reason"]) == ("native", "the shim is built")


def test_python_route_says_why_it_was_taken(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with open_runtime(".pte", program) as runtime:
        report = runtime.report()
    assert report["route"] == "python"
    assert report["route_reason"] == "ExecuTorch shim: none built for this executorch"


def test_native_asked_for_and_not_built_is_an_error(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(EngineMissingError, match=r"got none built.*Run: edgewright build-native"):
        open_runtime(".pte", program, native=True)


def test_native_option_that_is_no_answer_is_named(program: Program) -> None:
    with pytest.raises(UsageError, match=r"Option 'native': got 'yes', expected True, False, or None"):
        open_runtime(".pte", program, native="yes")


def test_shim_that_is_no_library_is_an_error(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / file_name(find_package())).write_bytes(b"not a library")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(EngineMissingError, match=r"edgewright build-native, which replaces it"):
        open_runtime(".pte", program, native=True)


def test_native_process_loads_no_torch_and_prints_nothing(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "small.pte"
    path.write_bytes(program.data)
    done = subprocess.run(
        [sys.executable, "-c", RUN_IN_NEW_PROCESS, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["shape"] == [MAX_BATCH, 3]
    assert found["layers"] > 3
    assert found["report"]["delegated_fraction"] == DELEGATED / NODES
    assert not {"torch", "executorch"} & set(found["loaded"])


def test_damaged_programs_are_errors_and_never_a_crash(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "small.pte"
    path.write_bytes(program.data)
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(path), str(DAMAGED_PROGRAMS)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"seeds end with {done.returncode}: {done.stderr[-500:]}"
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == DAMAGED_PROGRAMS
    assert counts["refused"] > DAMAGED_PROGRAMS // 5


def test_native_errors_carry_the_runtimes_own_name_and_reason(program: Program) -> None:
    with pytest.raises(EngineError, match=r"ExecuTorch program: got InvalidProgram \(.+\), expected"):
        open_runtime(".pte", replace(program, data=program.data[:200]), native=True)
    with pytest.raises(EngineError, match=r"got no method 'backward'"):
        open_runtime(".pte", replace(program, graph="backward"), native=True)
    method = NativeProgram(program.data).load("forward")
    with pytest.raises(RuntimeError, match=r"^(NotSupported|InvalidArgument) \(.+\)$"):
        method.execute([pictures(MAX_BATCH + 1)])
    with pytest.raises(RuntimeError, match=r"^InvalidArgument \(.+\)$"):
        method.execute([pictures(1).astype(np.float32)])
    with pytest.raises(RuntimeError, match=r"^0 inputs instead of 1$"):
        method.execute([])
    np.testing.assert_allclose(method.execute([pictures(2)])[0].sum(1), 1, rtol=1e-5)  # still of use


def test_native_takes_bytes_that_lie_across_words(program: Program) -> None:
    shifted = memoryview(b"x" + program.data)[1:]
    with (
        open_runtime(".pte", replace(program, data=shifted), native=True) as runtime,
        open_runtime(".pte", program, native=True) as reference,
    ):
        x = {"image": pictures(2)}
        np.testing.assert_array_equal(runtime.run(x)["scores"], reference.run(x)["scores"])


def test_native_instances_in_threads_get_their_own_answers(program: Program) -> None:
    start = threading.Barrier(4)
    with open_runtime(".pte", program, native=True) as alone:
        expected = {seed: alone.run({"image": pictures(2, seed)})["scores"] for seed in range(4)}

    def work(seed: int) -> bool:
        start.wait(timeout=30)
        same = []
        for _ in range(10):
            with open_runtime(".pte", program, native=True) as runtime:
                same += [
                    np.array_equal(runtime.run({"image": pictures(2, seed)})["scores"], expected[seed])
                    for _ in range(10)
                ]
        return all(same)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_native_method_outlives_its_callers_names(program: Program) -> None:
    """A method keeps its program, and the program its bytes."""
    method = NativeProgram(bytes(bytearray(program.data))).load("forward")
    np.testing.assert_allclose(method.execute([pictures(1)])[0].sum(), 1, rtol=1e-5)


def test_native_reads_arrays_whose_elements_are_not_in_order() -> None:
    memory = np.arange(6, dtype=np.float32)
    value = executorch_native.Value(kind=0, dtype=6, rank=2, contiguous=0, bytes=memory.nbytes)
    value.sizes[:2], value.strides[:2] = (3, 2), (1, 3)  # (3, 2), column by column
    value.data = memory.ctypes.data
    np.testing.assert_array_equal(executorch_native._read(value), memory.reshape(2, 3).T)


def test_native_profile_separates_delegate_and_kernels(program: Program) -> None:
    with open_runtime(".pte", program, native=True) as runtime:
        layers = runtime.profile({"image": pictures(4)}, 5)
    kinds = {layer.kind: layer.device for layer in layers}
    assert kinds["Convolution"] == "Xnnpack"
    assert "CPU" in kinds.values()
    assert all(layer.name.partition(":")[0].isdigit() for layer in layers if layer.device == "Xnnpack")
