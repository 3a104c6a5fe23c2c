"""Run notebooks in kernels of a real Jupyter server and save them with what came out.

A reader of the saved file sees what JupyterLab would have shown::

    python -m tests.notebooks.save notebooks/*.ipynb
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

from tests.notebooks.kernel import kernel_of
from tests.support.server import LiveServer, live_server


def smaller(picture: str) -> str:
    """A PNG in base64 with a palette: a plot has few colours, and a repository keeps every version of it."""
    buffer = io.BytesIO()
    plot = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    plot.quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def save(server: LiveServer, path: Path) -> None:
    """Run one notebook and write it back. It stays as it was if a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    with kernel_of(server, path.name) as kernel:
        for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
            outputs = kernel.run(cell.source)
            for output in outputs:
                if output["output_type"] == "error":
                    sys.exit(f"{path}: cell {cell.id!r}: {output['ename']}: {output['evalue']}")
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
                if "image/png" in output.get("data", {}):
                    output["data"]["image/png"] = smaller(output["data"]["image/png"])
            cell.execution_count = count
            cell.outputs = [nbformat.from_dict(output) for output in outputs]
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, live_server(Path(home), port=8888) as running:
        for name in sys.argv[1:]:
            save(running, Path(name))
