"""The Catalog in a SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engines.registers import RegisterCatalog
from engines.sqlite import SqliteSchema
from engines.sqlite_registers import REGISTERS_V1, SqliteRegisters

_SCHEMA: Final = SqliteSchema(
    name="catalog",
    application_id=0x49_4E_56_43,  # "INVC"
    migrations=(REGISTERS_V1,),
    remedy="then restore the file from a backup, or move it away and create the collections again",
)


class SqliteCatalog(RegisterCatalog):
    """Catalog records in one file; several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteRegisters(path, _SCHEMA))
