"""Where `connect` goes: what the caller says, what the environment says, the parent server, or nowhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from synapse.client.discovery import Target, agent_name, find, is_explicit, jupyter_token, normalise
from synapse.client.errors import InvalidURL


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's runtime folder, empty."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def server_file(runtime: Path, pid: int, **more: Any) -> None:
    """What a running Jupyter server leaves behind for others."""
    info = {"url": f"http://127.0.0.1:{pid}/user/x/", "token": "t0k", "sock": "", "pid": pid, "port": pid, **more}
    (runtime / f"jpserver-{pid}.json").write_text(json.dumps(info))


class TestOrder:
    def test_without_anything_there_is_no_server(self, runtime: Path) -> None:
        assert find(environ={}) == ()

    def test_an_explicit_url_comes_first(self, runtime: Path) -> None:
        server_file(runtime, os.getppid())
        environ = {"SYNAPSE_URL": "ws://env/cortex"}
        assert [target.url for target in find("ws://mine/cortex", environ=environ)] == ["ws://mine/cortex/websocket"]

    def test_the_environment_comes_second(self, runtime: Path) -> None:
        server_file(runtime, os.getppid())
        environ = {"SYNAPSE_URL": "ws://env/cortex", "SYNAPSE_API_KEY": "k"}
        assert find(environ=environ) == (Target("ws://env/cortex/websocket", api_key="k"),)

    def test_the_parent_server_comes_third_with_its_token(self, runtime: Path) -> None:
        server_file(runtime, os.getppid())
        url = f"ws://127.0.0.1:{os.getppid()}/user/x/cortex/websocket"
        assert find(environ={}) == (Target(url, token="t0k"),)

    def test_a_process_started_by_a_kernel_finds_the_kernels_server(self, runtime: Path) -> None:
        """``JPY_PARENT_PID`` is inherited; our own parent is then the kernel."""
        server_file(runtime, 41)
        (target,) = find(environ={"JPY_PARENT_PID": "41"})
        assert target.url == "ws://127.0.0.1:41/user/x/cortex/websocket"

    def test_other_running_servers_are_never_taken(self, runtime: Path) -> None:
        server_file(runtime, os.getpid())
        server_file(runtime, 1)
        assert os.getppid() != 1
        assert find(environ={"JPY_PARENT_PID": "2"}) == ()

    @pytest.mark.parametrize("text", ["", "{", '{"token": "x"}', "[]"])
    def test_a_broken_server_file_is_no_server(self, runtime: Path, text: str) -> None:
        (runtime / f"jpserver-{os.getppid()}.json").write_text(text)
        assert find(environ={}) == ()

    def test_a_server_on_a_unix_socket_is_no_server(self, runtime: Path) -> None:
        server_file(runtime, os.getppid(), sock="/tmp/x.sock", url="http+unix://%2Ftmp%2Fx.sock/")
        assert find(environ={}) == ()

    def test_a_parent_pid_that_is_no_number_is_ignored(self, runtime: Path) -> None:
        assert find(environ={"JPY_PARENT_PID": "../../etc/passwd"}) == ()

    @pytest.mark.parametrize(
        ("url", "environ", "explicit"),
        [
            ("ws://x", {}, True),
            (None, {"SYNAPSE_URL": "ws://x"}, True),
            (None, {}, False),
            (None, {"SYNAPSE_URL": ""}, False),
        ],
    )
    def test_knows_whether_somebody_named_the_server(
        self, url: str | None, environ: dict[str, str], explicit: bool
    ) -> None:
        assert is_explicit(url, environ) is explicit


class TestJupyterToken:
    """Who may change a server's rules: only whom Jupyter knows."""

    def test_a_token_of_the_address_comes_first(self, runtime: Path) -> None:
        server_file(runtime, 41)
        target = normalise("http://127.0.0.1:41/user/x/?token=mine")
        assert jupyter_token(target, {"JPY_PARENT_PID": "41"}) == "mine"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_a_kernel_knows_its_own_servers_token(self, runtime: Path, host: str) -> None:
        server_file(runtime, 41)
        assert jupyter_token(normalise(f"http://{host}:41/user/x/"), {"JPY_PARENT_PID": "41"}) == "t0k"

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:42/user/x/", "http://127.0.0.1:41/", "https://127.0.0.1:41/user/x", "http://hub:41/user/x/"],
    )
    def test_no_other_server_is_shown_it(self, runtime: Path, url: str) -> None:
        server_file(runtime, 41)
        assert jupyter_token(normalise(url), {"JPY_PARENT_PID": "41"}) is None


class TestSecrets:
    def test_arguments_win_over_everything(self, runtime: Path) -> None:
        environ = {"SYNAPSE_URL": "ws://x/cortex?token=env", "SYNAPSE_API_KEY": "env"}
        assert find(api_key="mine", token="own", environ=environ)[0] == Target("ws://x/cortex/websocket", "mine", "own")

    def test_the_environments_key_goes_with_an_explicit_url_when_no_other_is_named(self) -> None:
        assert find("ws://x", environ={"SYNAPSE_API_KEY": "k"})[0].api_key == "k"

    def test_the_environments_key_is_not_shown_to_another_server(self) -> None:
        environ = {"SYNAPSE_URL": "ws://home", "SYNAPSE_API_KEY": "k"}
        assert find("ws://elsewhere", environ=environ)[0].api_key is None
        assert find("http://home/", environ=environ)[0].api_key == "k"

    def test_no_repr_shows_them(self) -> None:
        assert repr(Target("ws://x/cortex/websocket", "secret", "secret")) == "Target('ws://x/cortex/websocket')"


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://host:8888/", "ws://host:8888/cortex/websocket"),
            ("http://host:8888", "ws://host:8888/cortex/websocket"),
            ("https://host", "wss://host/cortex/websocket"),
            ("ws://host/cortex", "ws://host/cortex/websocket"),
            ("ws://host/cortex/", "ws://host/cortex/websocket"),
            ("wss://host/user/b%40x/cortex/websocket", "wss://host/user/b%40x/cortex/websocket"),
            ("ws://phoenix:4000/socket/websocket", "ws://phoenix:4000/socket/websocket"),
            ("http://host:8888/user/bob/", "ws://host:8888/user/bob/cortex/websocket"),
            ("http://host:8888/lab/tree/a/b.ipynb", "ws://host:8888/cortex/websocket"),
            ("http://host/user/bob/notebooks/x.ipynb", "ws://host/user/bob/cortex/websocket"),
            ("localhost:8888", "ws://localhost:8888/cortex/websocket"),
            ("  http://[::1]:8888/  ", "ws://[::1]:8888/cortex/websocket"),
            ("http://host/cortex?vsn=2.0.0&room=a+b", "ws://host/cortex/websocket?room=a+b"),
        ],
    )
    def test_friendly_forms_are_understood(self, url: str, expected: str) -> None:
        assert normalise(url) == Target(expected)

    def test_a_token_in_the_address_leaves_it(self) -> None:
        """It goes into a header: addresses end up in logs and in reprs."""
        assert normalise("http://host:8888/lab?token=abc") == Target("ws://host:8888/cortex/websocket", token="abc")

    @pytest.mark.parametrize(
        ("url", "field"),
        [
            ("ftp://host/", "scheme"),
            ("http:///lab", "host"),
            ("", "host"),
            ("http://host:http/", "port"),
            ("http://host:99999/", "port"),
            ("http://me:pw@host/", "user"),
        ],
    )
    def test_anything_else_is_an_error_that_names_the_part(self, url: str, field: str) -> None:
        with pytest.raises(InvalidURL, match=f"invalid url: {field}: ") as caught:
            normalise(url)
        assert caught.value.field == field

    def test_a_password_is_not_repeated_in_the_error(self) -> None:
        with pytest.raises(InvalidURL) as caught:
            normalise("http://me:hunter2@host/")
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "near"), [("ws://127.0.0.1:1", True), ("ws://[::1]:1", True), ("ws://h.example", False)]
    )
    def test_knows_its_own_machine(self, url: str, near: bool) -> None:
        assert normalise(url).is_loopback is near


class TestAgentName:
    def test_is_the_notebooks(self) -> None:
        assert agent_name("ab12", {"JPY_SESSION_NAME": "/home/me/My study (2).ipynb"}) == "My-study-2-ab12"

    def test_is_the_users_and_the_processs_without_a_notebook(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "ada l")
        assert agent_name("ab12", {}) == f"ada-l-{os.getpid()}-ab12"

    def test_exists_even_for_a_user_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            raise KeyError("uid not found: 1234")

        monkeypatch.setattr("getpass.getuser", nobody)
        assert agent_name("ab12", {"JPY_SESSION_NAME": "日本.ipynb"}) == f"agent-{os.getpid()}-ab12"
