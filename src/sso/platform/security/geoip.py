"""From which country somebody comes: looked up in a file of the MaxMind format that the city provides."""

from __future__ import annotations

from typing import Any

from sso.errors import Refusal
from sso.settings import Settings


class Countries:
    """The countries of network addresses; nothing is known without ``SSO_COUNTRY_DATABASE``.

    Args:
        settings: where the file is.

    Raises:
        Refusal: when the file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._reader: Any = None
        if settings.country_database is not None:
            import maxminddb  # read only where there is such a file

            try:
                self._reader = maxminddb.open_database(settings.country_database, maxminddb.MODE_MMAP)
            except (OSError, maxminddb.InvalidDatabaseError) as error:
                raise Refusal(f"SSO_COUNTRY_DATABASE cannot be used: {error}") from None

    def of(self, address: str) -> str | None:
        """Return the two letters (ISO 3166-1) of the country of an address, or None where that is not known."""
        if self._reader is None:
            return None
        try:
            found = self._reader.get(address)
        except ValueError:
            return None
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) and len(code) == 2 else None
