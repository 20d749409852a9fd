"""The pages as tests read them: their code blocks and their links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def read_page(name: str) -> str:
    """Return a page's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def code_block(page: str, heading: str, language: str) -> str:
    """Return the first block of that language below a heading."""
    below = page.partition(f"\n{heading}\n")[2]
    return next(code for found, code in _BLOCK.findall(below) if found == language)


def load_block(page: str, heading: str) -> dict[str, Any]:
    """Run a Python block as an imported module is, and return its names."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code_block(page, heading, "python"), heading, "exec"), names)  # noqa: S102 -- it is the page's promise
    return names


def links(page: str) -> Iterator[str]:
    """Return what a page links to inside the repository."""
    text = _BLOCK.sub("", page)
    return (target for target in _LINK.findall(text) if "://" not in target)
