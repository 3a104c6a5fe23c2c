"""The file of keys: hashes only, written whole or not at all, read again when it has changed."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from synapse.policies import TokenBucket
from synapse.server import keystore
from synapse.server.auth import DoorKeeper, KeyRing
from synapse.server.keys import main
from synapse.server.keystore import KeyStore, KeyStoreError, StoredKeys


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "jupyter" / "synapse_keys.json")


class TestTheFile:
    def test_it_has_no_key_in_it_and_is_for_its_owner_alone(self, store: KeyStore) -> None:
        key = store.add("lab")
        assert key not in store.path.read_text()
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        assert [one.name for one in store.path.parent.iterdir()] == [store.path.name], "nothing else is left there"

    def test_what_was_written_is_read_back(self, store: KeyStore) -> None:
        store.add("lab", agents=("lab-*", "hal"), handlers=("echo",), rate=2.5, burst=7, max_age=60)
        store.add("other")
        lab, other = store.read().values()
        assert (lab.agents, lab.handlers, lab.rate, lab.burst) == (("lab-*", "hal"), ("echo",), 2.5, 7)
        assert lab.expires_at == pytest.approx(lab.created_at + 60, abs=0.01)
        assert (other.agents, other.handlers, other.rate, other.expires_at) == (("*",), None, None, None)

    def test_no_two_keys_are_alike(self, store: KeyStore) -> None:
        keys = {store.add(f"k{number}") for number in range(20)}
        assert len(keys) == len({key.hash for key in store.read().values()}) == 20

    def test_a_write_that_fails_leaves_the_old_one(self, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        store.add("lab")
        before = store.path.read_bytes()

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(keystore.os, "replace", fail)
        with pytest.raises(KeyStoreError, match="No space left"):
            store.add("other")
        assert store.path.read_bytes() == before
        assert len(list(store.path.parent.iterdir())) == 1

    def test_those_who_change_it_at_once_lose_nothing(self, store: KeyStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda number: store.add(f"k{number}"), range(40)))
        stored = StoredKeys(store)
        assert all(stored.find(key) is not None for key in keys)

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            ("nonsense", "is no file of keys"),
            ("[]", "is no file of keys"),
            ('{"version": 2, "keys": []}', "version"),
            ('{"keys": [{"name": "a"}]}', r"keys\[0\]"),
            ('{"keys": [{"name": "a", "hash": "00", "created_at": 1}]}', "hash"),
        ],
    )
    def test_another_file_is_refused_and_left_alone(self, store: KeyStore, content: str, named: str) -> None:
        store.path.parent.mkdir()
        store.path.write_text(content)
        for attempt in (store.read, lambda: store.add("lab"), lambda: StoredKeys(store)):
            with pytest.raises(KeyStoreError, match=named):
                attempt()
        assert store.path.read_text() == content

    def test_names_must_differ(self, store: KeyStore) -> None:
        store.add("lab")
        content = json.loads(store.path.read_text())
        content["keys"] *= 2
        store.path.write_text(json.dumps(content))
        with pytest.raises(KeyStoreError, match="names must be different"):
            store.read()

    @pytest.mark.parametrize("name", ["", "1", "a b", "a" * 65, "-a", "notebooks", "environment"])
    def test_a_bad_name_is_refused(self, store: KeyStore, name: str) -> None:
        with pytest.raises(KeyStoreError, match="is no name of a key"):
            store.add(name)

    @pytest.mark.parametrize("bad", [{"agents": ()}, {"agents": ("",)}, {"handlers": ()}, {"rate": 0.0}, {"burst": 0}])
    def test_a_bad_value_is_refused_by_name(self, store: KeyStore, bad: dict[str, Any]) -> None:
        with pytest.raises(KeyStoreError, match=next(iter(bad))):
            store.add("lab", **bad)
        assert not store.path.exists()


class TestARunningServer:
    def test_a_key_opens_the_doors_of_its_agents_and_the_roster(self, store: KeyStore) -> None:
        key = store.add("lab", agents=("lab-*", "hal"))
        door = DoorKeeper(KeyRing(stored=StoredKeys(store)))
        answers = {
            agent: door.authorize(agent, {"api_key": key}, None) for agent in ("lab-1", "hal", "presence", "ada")
        }
        reasons = [getattr(answer, "reason", None) for answer in answers.values()]
        assert reasons == [None, None, None, "unauthorized"]

    def test_its_grant_says_what_else_it_is_limited_to(self, store: KeyStore) -> None:
        key = store.add("lab", handlers=("echo",), rate=5, burst=9)
        found = StoredKeys(store).find(key)
        assert found is not None
        assert (found.grant.key, found.grant.trusted, found.grant.handlers) == ("key:lab", False, ("echo",))
        assert found.grant.rate_limit == TokenBucket(5, 9, "key")

    def test_a_new_key_is_known_at_once(self, store: KeyStore) -> None:
        keys = StoredKeys(store)
        assert keys.find(store.add("lab")) is not None
        assert keys.take_revoked() == set()

    def test_a_revoked_one_is_unknown_at_once_and_named_once(self, store: KeyStore) -> None:
        key = store.add("lab")
        keys = StoredKeys(store)
        store.revoke("lab")
        assert keys.find(key) is None
        assert keys.take_revoked() == {"lab"}
        assert keys.take_revoked() == set()

    def test_one_that_was_replaced_counts_as_revoked(self, store: KeyStore) -> None:
        old = store.add("lab")
        keys = StoredKeys(store)
        store.revoke("lab")
        new = store.add("lab")
        assert keys.take_revoked() == {"lab"}
        assert (keys.find(old), keys.find(new) is not None) == (None, True)

    def test_one_whose_time_is_over_counts_as_revoked(self, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        key = store.add("lab", max_age=60)
        keys = StoredKeys(store)
        assert keys.find(key) is not None
        later = keystore.time.time() + 61
        monkeypatch.setattr(keystore.time, "time", lambda: later)
        assert keys.find(key) is None
        assert keys.take_revoked() == {"lab"}
        assert keys.take_revoked() == set()

    def test_a_file_that_is_gone_has_no_keys(self, store: KeyStore) -> None:
        key = store.add("lab")
        keys = StoredKeys(store)
        store.path.unlink()
        assert keys.find(key) is None
        assert keys.take_revoked() == {"lab"}

    def test_a_file_that_makes_no_sense_changes_nothing(
        self, store: KeyStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = store.add("lab")
        keys = StoredKeys(store)
        store.path.write_text("half a fi")
        assert keys.find(key) is not None
        assert keys.take_revoked() == set()
        assert len([record for record in caplog.records if "the keys stay as they were" in record.message]) == 1

    def test_a_wrong_key_is_compared_with_all(self, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that the time it takes says nothing of which one it resembles."""
        first = store.add("k0")
        for number in range(1, 5):
            store.add(f"k{number}")
        keys = StoredKeys(store)
        compared: list[int] = []
        honest = keystore.hmac.compare_digest
        monkeypatch.setattr(keystore.hmac, "compare_digest", lambda *pair: compared.append(1) or honest(*pair))
        keys.find("wrong")
        keys.find(first)
        assert len(compared) == 10


class TestTheCommand:
    @staticmethod
    def run(store: KeyStore, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["--file", str(store.path), *arguments])

    def test_add_shows_the_key_alone_on_its_output(self, store: KeyStore) -> None:
        done = self.run(store, "add", "lab", "--agents", "lab-*,hal", "--agents", "ada", "--rate", "2.5")
        assert done.exit_code == 0
        found = StoredKeys(store).find(done.stdout.strip())
        assert found is not None
        assert (found.name, found.agents, found.rate, found.burst) == ("lab", ("lab-*", "hal", "ada"), 2.5, 3)
        assert "shown only now" in done.stderr

    @pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30m", 1800), ("12h", 43_200), ("1.5d", 129_600)])
    def test_add_takes_times_with_units(self, store: KeyStore, text: str, seconds: float) -> None:
        assert self.run(store, "add", "lab", "--max-age", text).exit_code == 0
        (key,) = store.read().values()
        assert key.expires_at == pytest.approx(key.created_at + seconds, abs=0.01)

    def test_list_shows_what_each_opens_and_no_hash(self, store: KeyStore) -> None:
        store.add("lab", agents=("lab-*",), handlers=("echo",), rate=5, burst=10)
        store.add("old", max_age=1e-9)
        done = self.run(store, "list")
        head, lab, old = done.stdout.splitlines()
        assert head.split() == ["NAME", "AGENTS", "HANDLERS", "RATE", "MADE", "EXPIRES"]
        assert lab.split()[:6] == ["lab", "lab-*", "echo", "5/s,", "burst", "10"]
        assert old.split()[0] == "old"
        assert old.endswith("expired")
        assert not any(key.hash in done.output for key in store.read().values())

    def test_list_without_keys_says_where_it_looked(self, store: KeyStore) -> None:
        done = self.run(store, "list")
        assert (done.exit_code, done.stdout) == (0, "")
        assert str(store.path) in done.stderr

    def test_revoke_removes_one(self, store: KeyStore) -> None:
        store.add("lab")
        store.add("other")
        assert self.run(store, "revoke", "lab").exit_code == 0
        assert list(store.read()) == ["other"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["revoke", "hal"], "there is no key 'hal'"),
            (["add", "lab"], "there is a key 'lab' already"),
            (["add", "a b"], "is no name of a key"),
            (["add", "x", "--rate", "0"], "--rate"),
            (["add", "x", "--burst", "5"], "--burst goes with --rate"),
            (["add", "x", "--max-age", "soon"], "'soon' is no time"),
            (["add", "x", "--agents", ","], "agents"),
        ],
    )
    def test_what_makes_no_sense_is_said_and_fails(self, store: KeyStore, arguments: list[str], said: str) -> None:
        store.add("lab")
        done = self.run(store, *arguments)
        assert done.exit_code in (1, 2)
        assert said in done.stderr
        assert list(store.read()) == ["lab"]
