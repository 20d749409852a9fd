"""Settings: read once, from flags, then environment, then file, then defaults; contradictions are refused here."""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.errors import Fatal
from schemas.generation import Chunking, ChunkStrategy, GenerationConfig, VectorParameters, VersionSource

CONFIG_FILE: Final = "inver.toml"
DEFAULT_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"


class Profile(StrEnum):
    """Which engines stand behind the ports."""

    EMBEDDED = "embedded"
    SERVERS = "servers"
    CLUSTER = "cluster"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmbeddingSettings(_Section):
    """Which model turns text into vectors, and how."""

    model: str = DEFAULT_MODEL
    #: A local folder of the model; without it the offline package and then the hub are tried.
    model_directory: Path | None = None
    backend: Literal["openvino", "torch"] = "openvino"
    #: Vectors are kept by text and model, so that a replay does not pay for them again; 0 switches this off.
    cache_bytes: int = Field(default=2 * 1024**3, ge=0)


class ChunkingSettings(_Section):
    """How new collections cut text; sizes in the model's own tokens."""

    strategy: ChunkStrategy = ChunkStrategy.STRUCTURE
    max_tokens: int = Field(default=128, ge=16, le=8_192)
    overlap_tokens: int = Field(default=24, ge=0)

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> ChunkingSettings:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError(
                f"overlap_tokens={self.overlap_tokens} must be at most half of max_tokens={self.max_tokens}"
            )
        return self


class CollectionSettings(_Section):
    """What new collections are made with; existing ones keep what they have."""

    create: bool = True
    partitions: int = Field(default=4, ge=1, le=1_000)
    version_source: VersionSource = VersionSource.LOG
    analyzer: str = "english"
    chunking: ChunkingSettings = ChunkingSettings()
    hnsw_m: int = Field(default=16, ge=4, le=64)
    hnsw_ef_construction: int = Field(default=200, ge=8, le=512)
    hnsw_ef_search: int = Field(default=256, ge=8, le=4_096)

    @field_validator("analyzer")
    @classmethod
    def _analyzer_is_known(cls, analyzer: str) -> str:
        """Refuse here what would otherwise stop the stages of a collection that already exists."""
        from engines.analysis import check_analyzer

        try:
            return check_analyzer(analyzer)
        except Fatal as error:
            raise ValueError(str(error)) from None

    def generation_config(self, *, model: str, fingerprint: str, dimension: int) -> GenerationConfig:
        """Return the configuration of a new collection's first generation."""
        return GenerationConfig(
            model=model,
            model_fingerprint=fingerprint,
            dimension=dimension,
            chunking=Chunking(
                strategy=self.chunking.strategy,
                max_tokens=self.chunking.max_tokens,
                overlap_tokens=self.chunking.overlap_tokens,
            ),
            analyzer=self.analyzer,
            vector=VectorParameters(
                m=self.hnsw_m, ef_construction=self.hnsw_ef_construction, ef_search=self.hnsw_ef_search
            ),
        )


class Addresses(_Section):
    """Where the servers are; in the ``servers`` profile those of ``inver servers up`` are the default."""

    kafka: str | None = None
    opensearch: str | None = None
    milvus: str | None = None


class Settings(BaseSettings):
    """Everything that can be set. ``INVER_EMBEDDING__MODEL`` sets ``embedding.model``."""

    model_config = SettingsConfigDict(
        env_prefix="INVER_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    profile: Profile = Profile.EMBEDDED
    data_directory: Path = Path("inver-data")
    cache_directory: Path = Field(
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inver"
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8642, ge=0, le=65_535)
    addresses: Addresses = Addresses()
    embedding: EmbeddingSettings = EmbeddingSettings()
    collections: CollectionSettings = CollectionSettings()
    #: Extracted text above this is refused with a sentence.
    max_text_bytes: int = Field(default=32 * 1024**2, ge=1_024)
    #: Where content too large for the log goes; a folder in the data directory unless set (file://, s3://, …).
    blob_url: str | None = None
    #: Answer without checking visibility when the manifests cannot be read, and say so, instead of refusing.
    answer_unverified: bool = False

    @model_validator(mode="after")
    def _addresses_fit_profile(self) -> Settings:
        given = {name: value for name, value in self.addresses.model_dump().items() if value is not None}
        if self.profile is Profile.EMBEDDED and given:
            raise ValueError(
                f"profile=embedded uses no servers, but addresses.{next(iter(given))}={next(iter(given.values()))} is "
                "set: choose --profile servers or cluster, or remove the address"
            )
        lacking = [name for name in Addresses.model_fields if name not in given]
        if self.profile is Profile.CLUSTER and lacking:
            raise ValueError(f"profile=cluster needs addresses.{lacking[0]} (INVER_ADDRESSES__{lacking[0].upper()})")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  a stray .env must not change a running system
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flag, environment, file."""
        path = Path(os.environ.get("INVER_CONFIG", CONFIG_FILE))
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path))


def load_settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None were not given. Raises Fatal naming the setting, its value, its rule."""
    if "INVER_CONFIG" in os.environ and not Path(os.environ["INVER_CONFIG"]).is_file():
        raise Fatal(f"INVER_CONFIG names {os.environ['INVER_CONFIG']!r}, which is not a file")
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Fatal(f"{os.environ.get('INVER_CONFIG', CONFIG_FILE)} cannot be read as TOML: {error}") from None
    except SettingsError as error:
        raise Fatal(f"{error}: write one value for each setting, as in INVER_EMBEDDING__MODEL=…") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise Fatal(f"setting '{place}' has value {first['input']!r}: {message}" if place else message) from None
