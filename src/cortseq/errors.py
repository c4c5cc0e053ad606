"""Errors a user can act on: one line that names the file, the key and the value, and what to do."""

import contextlib
from collections.abc import Iterator
from typing import Any


class CortseqError(Exception):
    """A fault in the input, not in the program; shown as one line, without a traceback."""

    def __init__(
        self,
        problem: str,
        *,
        file: Any = None,
        key: str | None = None,
        value: Any = None,
        fix: str | None = None,
    ) -> None:
        parts = [
            *([f"{file}"] if file is not None else []),
            *([f"{key}"] if key is not None else []),
            problem + (f" (got {value!r})" if value is not None else ""),
        ]
        super().__init__(": ".join(parts) + (f" -- {fix}" if fix else ""))


@contextlib.contextmanager
def about(*where: Any) -> Iterator[None]:
    """Let errors raised inside name `where` first.

    `where` is the entry and the file, which code further down does not know.
    """
    try:
        yield
    except CortseqError as error:
        prefix = "".join(f"{part}: " for part in where if part is not None)
        raise CortseqError("\n".join(prefix + line for line in str(error).splitlines())) from error


class MissingExtra(CortseqError):
    """An optional dependency is needed for this file."""

    def __init__(self, package: str, extra: str, file: Any = None) -> None:
        super().__init__(
            f"needs the package {package}",
            file=file,
            fix=f"pip install 'cortseq[{extra}]'",
        )
