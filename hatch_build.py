"""Compiles what a simulation spends its time on, if `SYNAPSE_COMPILE` is set to 1; else the wheel is plain Python.

A module is compiled if a `.pxd` file beside it gives C types to its classes. What an editable install runs is always
what is edited.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = {"unix": ["-O2", "-ffp-contract=off"]}  # a fused multiply and add would round differently from Python


class Compile(BuildHookInterface):
    """Puts compiled modules into the wheel, beside their source."""

    def dependencies(self) -> list[str]:
        return ["cython>=3.1", "setuptools>=75"] if _is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_asked_for() or version == "editable":
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for library, place in _compile(Path(self.root), Path(self.directory) / "compiled"):
            build_data["force_include"][str(library)] = place


def _is_asked_for() -> bool:
    return os.environ.get("SYNAPSE_COMPILE") == "1"


def _compile(root: Path, out: Path) -> list[tuple[Path, str]]:
    """Each library, and where in the wheel it belongs."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    places = [typed.with_suffix("").relative_to(root) for typed in sorted(root.glob("synapse/**/*.pxd"))]
    os.chdir(root)
    extensions = [Extension(".".join(place.parts), [f"{place}.py"]) for place in places]
    extensions = cythonize(
        extensions, build_dir=str(out), language_level=3, compiler_directives={"annotation_typing": False}, quiet=True
    )

    class Build(build_ext):
        def build_extensions(self) -> None:
            for extension in self.extensions:
                extension.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
            super().build_extensions()

    command = Build(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp, command.parallel = str(out / "lib"), str(out / "temp"), os.cpu_count()
    command.ensure_finalized()
    command.run()
    lib = out / "lib"
    return [(library, library.relative_to(lib).as_posix()) for library in map(Path, command.get_outputs())]
