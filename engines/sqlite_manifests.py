"""The ManifestStore in a SQLite file, one file for each generation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engines.registers import RegisterManifestStore
from engines.sqlite import SqliteSchema
from engines.sqlite_registers import REGISTERS_V1, SqliteRegisters

_SCHEMA: Final = SqliteSchema(
    name="manifests",
    application_id=0x49_4E_56_4D,  # "INVM"
    migrations=(REGISTERS_V1,),
    remedy="then restore the file from a backup, or move it away and rebuild this generation from the log",
)


class SqliteManifestStore(RegisterManifestStore):
    """Manifests in one file; several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteRegisters(path, _SCHEMA))
