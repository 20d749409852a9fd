"""Settings: flag over environment over file over default, and every contradiction in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inver.settings import CONFIG_FILE, Profile, load_settings
from schemas.errors import Fatal
from schemas.generation import ChunkStrategy, VersionSource


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder without a file, and an environment without any of Inver's variables."""
    import os

    for name in [name for name in os.environ if name.startswith("INVER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = CONFIG_FILE) -> None:
    """Write the settings file."""
    Path(name).write_text(text)


def test_the_defaults_are_the_laptop():
    """Nothing set: embedded, loopback, a folder beside."""
    settings = load_settings()

    assert settings.profile is Profile.EMBEDDED
    assert (settings.host, settings.port) == ("127.0.0.1", 8642)
    assert settings.data_directory == Path("inver-data")
    config = settings.collections.generation_config(model="m", fingerprint="f", dimension=3)
    assert (config.chunking.max_tokens, config.chunking.overlap_tokens) == (128, 24)
    assert config.chunking.strategy is ChunkStrategy.STRUCTURE
    assert (config.analyzer, config.model, config.model_fingerprint, config.dimension) == ("english", "m", "f", 3)


def test_the_nearest_source_wins(monkeypatch: pytest.MonkeyPatch):
    """Each source counts where no nearer one speaks, setting for setting."""
    write('port = 1001\nhost = "localhost"\nmax_text_bytes = 2000\n[embedding]\nmodel = "from-file"\nbackend = "torch"')
    monkeypatch.setenv("INVER_PORT", "1002")
    monkeypatch.setenv("INVER_HOST", "::1")
    monkeypatch.setenv("INVER_EMBEDDING__MODEL", "from-environment")

    settings = load_settings(port=1003)

    assert (settings.port, settings.host, settings.max_text_bytes) == (1003, "::1", 2000)
    assert (settings.embedding.model, settings.embedding.backend) == ("from-environment", "torch")


def test_a_flag_that_was_not_given_does_not_hide_the_others():
    """None stands for absence."""
    write("port = 1001")

    assert load_settings(port=None, profile=None).port == 1001


def test_part_of_a_section_leaves_the_rest():
    """A flag for one field of a section keeps what the file says about its neighbours."""
    write('[collections]\npartitions = 7\nversion_source = "producer"\n[collections.chunking]\nmax_tokens = 200')

    settings = load_settings(collections={"partitions": 9})

    assert settings.collections.partitions == 9
    assert settings.collections.version_source is VersionSource.PRODUCER
    assert settings.collections.chunking.max_tokens == 200
    assert settings.collections.chunking.overlap_tokens == 24


def test_the_file_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch):
    """INVER_CONFIG names it; then the one beside is not read."""
    write("port = 1001")
    write("port = 1002", "other.toml")
    monkeypatch.setenv("INVER_CONFIG", "other.toml")

    assert load_settings().port == 1002


def test_a_stray_dotenv_changes_nothing():
    """Only the sources that are documented are read."""
    write("INVER_PORT=1001", ".env")

    assert load_settings().port == 8642


def test_settings_cannot_be_changed_afterwards():
    """They are read once."""
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


SERVERS = {"kafka": "k:9092", "opensearch": "http://o:9200", "milvus": "http://m:19530"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"port": 70_000}, r"setting 'port' has value 70000: .*65535"),
        ({"port": "x"}, r"setting 'port' has value 'x': "),
        ({"profile": "cloud"}, r"setting 'profile' has value 'cloud': .*'embedded', 'servers' or 'cluster'"),
        ({"embedding": {"modell": "x"}}, r"setting 'embedding\.modell' has value 'x': "),
        ({"embedding": {"backend": "onnx"}}, r"setting 'embedding\.backend' has value 'onnx': .*'openvino' or 'torch'"),
        ({"nonsense": 1}, r"setting 'nonsense' has value 1: "),
        ({"max_text_bytes": 1}, r"setting 'max_text_bytes' has value 1: "),
        (
            {"collections": {"chunking": {"max_tokens": 40, "overlap_tokens": 21}}},
            r"setting 'collections\.chunking' .*overlap_tokens=21 must be at most half of max_tokens=40",
        ),
        ({"addresses": {"kafka": "k:9092"}}, r"profile=embedded uses no servers, but addresses\.kafka=k:9092 is set"),
        ({"profile": "cluster"}, r"profile=cluster needs addresses\.kafka \(INVER_ADDRESSES__KAFKA\)"),
        (
            {"profile": "cluster", "addresses": {"kafka": "k:9092", "milvus": "http://m"}},
            r"profile=cluster needs addresses\.opensearch",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(flags: dict[str, Any], sentence: str):
    """It names the setting, its value and what would be right."""
    with pytest.raises(Fatal, match=sentence) as refused:
        load_settings(**flags)
    assert "\n" not in str(refused.value)


def test_servers_know_their_own_addresses_and_clusters_are_told():
    """Started servers are found again; a cluster's addresses are all given."""
    assert load_settings(profile="servers").addresses.kafka is None
    assert load_settings(profile="cluster", addresses=SERVERS).addresses.milvus == "http://m:19530"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"port = = 1", "inver.toml cannot be read as TOML"),
        (b"port = 1001\n\xff", "inver.toml cannot be read as TOML"),
        (b"prot = 1001", "setting 'prot' has value 1001"),
        (b"[collections]\npartitions = 0", r"setting 'collections\.partitions' has value 0"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(content: bytes, sentence: str):
    """Broken or misspelt, it is named."""
    Path(CONFIG_FILE).write_bytes(content)

    with pytest.raises(Fatal, match=sentence):
        load_settings()


def test_a_file_that_is_not_there_is_refused_only_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    """The one beside may be absent; the one that was named may not."""
    load_settings()
    monkeypatch.setenv("INVER_CONFIG", "absent.toml")

    with pytest.raises(Fatal, match=r"INVER_CONFIG names 'absent\.toml', which is not a file"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("INVER_PORT", "many", "setting 'port' has value 'many'"),
        ("INVER_EMBEDDING__MODLE", "x", r"setting 'embedding\.modle' has value 'x'"),
        ("INVER_EMBEDDING", "not json", 'field "embedding" .*INVER_EMBEDDING__MODEL'),
    ],
)
def test_a_wrong_variable_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
):
    """Like every other source."""
    monkeypatch.setenv(name, value)

    with pytest.raises(Fatal, match=sentence):
        load_settings()
