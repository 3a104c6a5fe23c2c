"""Compiles what a simulation spends its time on, if `SYNAPSE_COMPILE` is 1 in the environment.

Otherwise a wheel is plain Python. A module is compiled if a `.pxd` file beside it gives its classes C types; its source
stays what it is. What an editable install runs is always what is edited.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Compiled(BuildHookInterface):
    """Puts compiled modules beside their source into a wheel."""

    def dependencies(self) -> list[str]:
        return ["cython>=3.1", "setuptools>=75"] if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_wanted() or version == "editable":
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        self._built = TemporaryDirectory()
        built = Path(self._built.name)
        for library in _compile(Path(self.root), built):
            build_data["force_include"][str(library)] = library.relative_to(built / "lib").as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if _is_wanted() and version != "editable":
            self._built.cleanup()


def _is_wanted() -> bool:
    return os.environ.get("SYNAPSE_COMPILE") == "1"


def _compile(root: Path, built: Path) -> list[Path]:
    """The compiled modules, in `built` / ``lib`` as in the package."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    os.chdir(root)
    modules = [typed.relative_to(root).with_suffix("") for typed in sorted(root.glob("synapse/**/*.pxd"))]
    extensions = cythonize(
        [
            # without contraction: a fused multiply and add does not round as Python does
            Extension(".".join(module.parts), [f"{module}.py"], extra_compile_args=["-ffp-contract=off"])
            for module in modules
        ],
        build_dir=str(built),
        language_level=3,
        compiler_directives={"annotation_typing": False},  # only what a .pxd file says has a C type
        quiet=True,
    )
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(built / "lib"), str(built / "temp")
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
    return [Path(library) for library in command.get_outputs()]
