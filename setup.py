"""The compiled part of massgraph, where there is a compiler; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("python/massgraph/native")

setup(
    ext_modules=[
        Extension(
            "massgraph._native",
            sources=sorted(str(path) for path in NATIVE.glob("*.cpp")),
            depends=sorted(str(path) for end in ("h", "inl") for path in NATIVE.glob(f"*.{end}")),
            language="c++",
            # Products and sums may be joined (FMA), nothing else is left to the compiler's taste.
            extra_compile_args=["-std=gnu++17", "-O3", "-ffp-contract=fast", "-pthread", "-g0"],
            extra_link_args=["-pthread"],
            optional=True,  # without it everything runs on torch
        )
    ]
)
