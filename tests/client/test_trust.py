"""Whose certificates a client believes, and what it says of a wish that makes no sense."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import synapse
from synapse.client.trust import context_for


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A file with the certificate of an authority of our own."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_all_that_is_believed(bundle: Path, kind: Any) -> None:
    context = context_for(kind(bundle))
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_folder_of_certificates_will_do(bundle: Path) -> None:
    assert context_for(bundle.parent).verify_mode is ssl.CERT_REQUIRED


def test_a_context_says_all_there_is_to_say() -> None:
    context = ssl.create_default_context()
    assert context_for(context) is context


@pytest.mark.parametrize("bad", [False, True, 7, b"ca.pem"])
def test_what_is_neither_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="verify must be a path of certificates"):
        synapse.connect("https://127.0.0.1:1", verify=bad)


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match=f"verify: .*{name}: no certificates in PEM format"):
            synapse.connect("https://127.0.0.1:1", verify=tmp_path / name)


def test_an_address_without_tls_cannot_be_verified(bundle: Path) -> None:
    with pytest.raises(ValueError, match=r"verify goes with https:// and wss:// only"):
        synapse.connect("http://127.0.0.1:1", verify=bundle)
