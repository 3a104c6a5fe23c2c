"""TLS with Jupyter's own certfile and keyfile, and a client that believes in an authority of the user's own."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import synapse
from tests.support.lean import LEAN, failures
from tests.support.server import LiveServer, live_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an authority of our own; beside it the certificate and the key that it gave to the server."""
    home = tmp_path_factory.mktemp("authority")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(home / "ca.pem")
    certificate.private_key_pem.write_to_path(home / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(home / "cert.pem")
    return home / "ca.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[LiveServer]:
    home = authority.parent
    config = f"c.ServerApp.certfile = {str(home / 'cert.pem')!r}\nc.ServerApp.keyfile = {str(home / 'key.pem')!r}\n"
    with live_server(tmp_path_factory.mktemp("server"), config=LEAN + config) as one:
        yield one
        assert failures(one, but="SSL") == []  # those who do not believe hang up


def address(server: LiveServer, scheme: str) -> str:
    return server.url.replace("wss", scheme, 1).removesuffix("/websocket")


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_an_agent_that_believes_in_its_authority_is_answered(server: LiveServer, authority: Path, scheme: str) -> None:
    with synapse.connect(address(server, scheme), api_key="test-key", verify=authority) as agent:
        assert agent.url.startswith("wss://")
        query = agent.query("thoughts=3")
        assert [thought.content for thought in query] == ["step 1", "step 2", "step 3"]
        assert query.result.status == "success"


def test_its_rules_are_read_and_replaced_in_the_same_trust(server: LiveServer, authority: Path) -> None:
    with synapse.connect(address(server, "https"), token=server.token, verify=authority) as agent:
        agent.server.apply(timeout={"kind": "fixed", "seconds": 7})
        assert agent.server.policies.timeout == synapse.policies.FixedTimeout(7)


def test_so_is_one_with_a_context_of_its_own(server: LiveServer, authority: Path) -> None:
    context = ssl.create_default_context(cafile=authority)

    async def ask() -> str:
        async with await synapse.aconnect(address(server, "wss"), token=server.token, verify=context) as agent:
            return (await agent.ask("thoughts=1")).status

    assert asyncio.run(ask()) == "success"


def test_so_is_one_whose_whole_environment_believes_in_it(server: LiveServer, authority: Path) -> None:
    program = "import synapse, sys; print(synapse.connect(sys.argv[1], api_key='test-key').ask('thoughts=0').status)"
    environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
    command = [sys.executable, "-c", program, address(server, "https")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stdout == "success\n"


def test_one_that_does_not_is_told_what_to_do(server: LiveServer) -> None:
    with pytest.raises(synapse.ConnectError, match=r"certificate verify failed.*pass verify="):
        synapse.connect(address(server, "https"), api_key="test-key")


def test_a_certificate_for_another_host_is_not_believed(server: LiveServer, authority: Path) -> None:
    other = address(server, "https").replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(synapse.ConnectError):
        synapse.connect(other, api_key="test-key", verify=authority)


def test_an_address_without_tls_is_no_way_in(server: LiveServer) -> None:
    with pytest.raises(synapse.ConnectError):
        synapse.connect(address(server, "http"), api_key="test-key", timeout=5)
