"""Whose certificates a client believes: the system's authorities, or one of the user's own."""

from __future__ import annotations

import os
import ssl
from typing import TypeAlias

Verify: TypeAlias = str | os.PathLike[str] | ssl.SSLContext
"""A file (or folder) of certificates in PEM format to believe in, or a context that says all there is to say."""


def context_for(verify: Verify) -> ssl.SSLContext:
    """The context that verifies a server by these certificates and no others.

    Raises
    ------
    ValueError
        If it is no path and no context, or there are no certificates.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if not isinstance(verify, str | os.PathLike):
        raise ValueError(f"verify must be a path of certificates (PEM) or an ssl.SSLContext, not {verify!r}")
    path = os.fspath(verify)
    try:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # an SSLError is one
        raise ValueError(f"verify: {path}: no certificates in PEM format: {error.strerror or error}") from None
