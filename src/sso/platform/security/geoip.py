"""Countries of IP addresses, from a file in MaxMind format that the operator provides."""

from __future__ import annotations

from typing import Any

from sso.errors import Refusal
from sso.settings import Settings


class Countries:
    """Countries of IP addresses. Without ``SSO_COUNTRY_DATABASE`` no country is known.

    Args:
        settings: the path of the file.

    Raises:
        Refusal: when the file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._reader: Any = None
        if settings.country_database is not None:
            import maxminddb  # optional

            try:
                self._reader = maxminddb.open_database(settings.country_database, maxminddb.MODE_MMAP)
            except (OSError, maxminddb.InvalidDatabaseError) as error:
                raise Refusal(f"SSO_COUNTRY_DATABASE cannot be used: {error}") from None

    def of(self, address: str) -> str | None:
        """Return the country code (ISO 3166-1, two letters) of an IP address; None if the country is not known."""
        if self._reader is None:
            return None
        try:
            record = self._reader.get(address)
        except ValueError:
            return None
        country = record.get("country") if isinstance(record, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) and len(code) == 2 else None
