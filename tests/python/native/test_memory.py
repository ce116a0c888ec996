"""Too much for the memory: each call of the compiled library says so, and Python goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from massgraph.native.library import FOLDER, SIGNATURES, library

pytestmark = [
    pytest.mark.skipif(library() is None, reason="the compiled library was not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be bounded so"),
    pytest.mark.skipif(
        "asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer ends by itself"
    ),
]

NETWORK = ("infer", "forward", "pool", "pool_sums", "backward", "step")
BUILDER = ("edges", "messages")

# In a process of its own, as it may end. What is never written to costs only addresses, which are
# what is bounded: and only while the library runs, so that it is the library that finds no memory.
SCRIPT = """
import json, resource, sys
import numpy as np
import torch
from massgraph.chem.relations import relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.graph import builder
from massgraph.graph import compiled as compiled_builder
from massgraph.graph.batch import GraphBatch
from massgraph.graph.messages import CompactMessages
from massgraph.nn import compiled
from massgraph.nn.structs import Input, Layer, OutputGradient, padded

N_PIXELS, N_PEAKS, N_IN = 4, 2, 3
spares, real = [None], compiled.library()

class Bounded:
    def __getattr__(self, name):
        def call(*arguments):
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            if spares[0] is not None:
                resource.setrlimit(resource.RLIMIT_AS, (used + spares[0], resource.RLIM_INFINITY))
            try:
                return getattr(real, name)(*arguments)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        return call

compiled.library = compiled_builder.library = Bounded

def zeros(*shape):
    return np.zeros(shape, dtype=np.float32)

def layer(n_in, n_out):
    return Layer(zeros(1, n_in, n_out), zeros(n_in, n_out), zeros(n_out))

def graphs(features):
    none = CompactMessages.none(N_PIXELS)
    kinds = np.zeros((N_PIXELS, 2), dtype=np.int32)  # one type, of which there is no message
    messages = CompactMessages(none.offsets, kinds, none.sender, none.receiver, none.senders)
    offsets = np.arange(0, len(features) + 1, N_PEAKS)
    return GraphBatch(features, offsets, messages, np.arange(N_PIXELS))

def network(width):
    n = N_PIXELS * N_PEAKS
    batch, x, first = graphs(zeros(n, N_IN)), Input(zeros(n, N_IN)), layer(N_IN, width)
    z, y = zeros(n, padded(width)), np.zeros(N_PIXELS, dtype=np.int64)
    h = Input(z, of_batch=True, active=True, scale=zeros(width), shift=zeros(width))
    back, dx = OutputGradient(z), zeros(n, padded(N_IN))
    layers, head = [first, layer(width, 4)], (zeros(2, 4), zeros(2))
    return {
        "infer": lambda: compiled.infer(batch, [first]),
        "forward": lambda: compiled.forward(batch, first, x, z, sums=True),
        "pool": lambda: compiled.pool(batch, h, width),
        "pool_sums": lambda: compiled.pool_sums(batch, h, zeros(N_PIXELS, width)),
        "backward": lambda: compiled.backward(batch, first, x, back, dx=dx),
        "step": lambda: compiled.step(batch, layers, head, y),
    }

def graph(n_peaks):
    peaks = [300.0] * n_peaks + [301.0] * n_peaks, np.ones(2 * n_peaks)
    spectra = Spectra.from_peaks([peaks] * 500)
    relations = relations_from_masses({"one": 1.0})
    return {
        "edges": lambda: builder.build_graph(spectra, relations, rule="all"),
        "messages": lambda: builder.build_messages(spectra, relations, rule="all"),
    }

def attempt(call, spare):
    spares[0] = spare
    try:
        call()
        return "done"
    except MemoryError as error:
        return str(error)

torch.set_num_threads(int(sys.argv[1]))
small, large = network(5) | graph(2), network(150_001) | graph(30)
found = {}
for name in small:
    attempt(small[name], None)
    found[name] = [attempt(large[name], mb << 20) for mb in json.loads(sys.argv[2])]
    found[name].append(attempt(small[name], None))
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=[1, 3], ids="{} threads".format)
def outcomes(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    # No memory is kept or reserved for later, so that each call meets the bound.
    keep_none = {"ARENA_MAX": "1", "MMAP_THRESHOLD_": "65536", "TRIM_THRESHOLD_": "0"}
    environment = {**os.environ, **{f"MALLOC_{name}": value for name, value in keep_none.items()}}
    spares = json.dumps([0, 1, 2, 4, 8, 16, 32, 64])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(request.param), spares],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def check(outcomes: list[str], said: str) -> None:
    """Memory runs out at one place after another: each time it is said in words."""
    *bounded, after = outcomes
    assert bounded[0] == bounded[1] == said
    assert set(bounded) <= {said, "done"}
    assert after == "done"


@pytest.mark.parametrize("name", NETWORK)
def test_layers_too_wide_are_an_error_and_not_the_end(
    name: str, outcomes: dict[str, list[str]]
) -> None:
    check(outcomes[name], f"{name} of these pixels does not fit into memory: use fewer at a time")


@pytest.mark.parametrize("name", BUILDER)
def test_too_many_edges_are_an_error_and_not_the_end(
    name: str, outcomes: dict[str, list[str]]
) -> None:
    check(
        outcomes[name],
        "the edges of these pixels do not fit into memory: use a smaller tolerance",
    )


# What allocates nothing and so cannot throw: constants, sums and copies of what is there.
ALLOCATE_NOTHING = {
    *("mg_interface", "mg_level_name", "mg_level", "mg_choose_level", "mg_multiply_add"),
    *("mg_copy_edges", "mg_copy_messages", "mg_messages_size", "mg_messages_too_many"),
    *("mg_free_edges", "mg_free_messages"),
}


def test_no_function_that_may_throw_is_exported_unguarded() -> None:
    sources = "\n".join(path.read_text() for path in sorted((FOLDER / "native").glob("*.cpp")))
    exported = re.findall(r"^\w[\w *]*?\b(mg_\w+)\([^;{]*\) \{(.*?)\}$", sources, re.M | re.S)
    bodies = dict(exported)
    assert set(bodies) == set(SIGNATURES)
    unguarded = {name for name, body in bodies.items() if "return guarded([&]" not in body}
    assert unguarded == ALLOCATE_NOTHING
