"""The compiled code of templates: shared by the languages, and kept on the disk where Python keeps its own.

Compiling the templates takes 0.4 seconds of CPU for each language, as much as half of a start.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType

from jinja2.bccache import Bucket, FileSystemBytecodeCache


class TemplateCode(FileSystemBytecodeCache):
    """Compiled templates, in memory and in the directory ``__pycache__`` beside this module.

    What is on the disk is used only for the same source, options and version of Jinja, and has the same protection as
    the compiled modules beside it: who can write there can change the program. Where nothing can be written, or Python
    writes no bytecode (``PYTHONDONTWRITEBYTECODE``), each process compiles once.

    Args:
        options: the options of the environment, which the code depends on.
        directory: where the code is kept.
    """

    def __init__(self, options: Mapping[str, object], directory: Path | None = None) -> None:
        super().__init__(str(directory or Path(cache_from_source(__file__)).parent), "template-%s.cache")
        self._setting = f"{version('jinja2')} {sorted(options.items())}"
        self._codes: dict[tuple[str, str], CodeType] = {}

    def get_source_checksum(self, source: str) -> str:
        """Return what tells apart code of other templates, options or versions."""
        return hashlib.sha256(f"{self._setting}\n{source}".encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the code to a template, where there is any."""
        code = self._codes.get((bucket.key, bucket.checksum))
        if code is not None:
            bucket.code = code
            return
        try:
            super().load_bytecode(bucket)
        except Exception:  # damaged, or not to be read: what unpickling raises then is not bounded
            bucket.reset()
        if not isinstance(bucket.code, CodeType):
            bucket.reset()
        self._remember(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template that was compiled."""
        self._remember(bucket)
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)
                # Written as root when an image is built, read by the user of the server.
                (Path(self.directory) / (self.pattern % bucket.key)).chmod(0o644)

    def _remember(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code
