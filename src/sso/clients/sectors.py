"""By which identifier an application knows people, and what changes it (OpenID Connect Core section 8).

With ``subject_type: pairwise`` each person's ``sub`` is made from the sector: the host of ``sector_identifier_uri``, or
of the first redirect URI. Whoever changes the sector gives every user of the application a new ``sub``: the application
takes them for new people. A kept sector (``kept_sector``) prevents that. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from sso.clients.metadata import ClientMetadata
from sso.clients.secrets import ClientError


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """That every ``sub`` of an application changes. ``before`` and ``after``: the sectors, or nothing for public
    subjects. ``users``: how many people the application knows, where that was counted."""

    client_id: str
    before: str
    after: str
    users: int = 0

    def text(self) -> str:
        """Say what changes and for how many people."""
        known = f"{self.users} user{'' if self.users == 1 else 's'}" if self.users else "no user yet"
        return f"every sub changes from {_basis(self.before)} to {_basis(self.after)}: {known}"

    def advice(self, accept: str, *, may_keep: bool = True) -> str:
        """Say how to keep every ``sub``, or to accept the change with ``accept``. ``may_keep``: whether ``kept_sector``
        is one of the ways."""
        if not self.before:
            keep = "keep subject_type: public"
        elif not may_keep:
            keep = f"register a sector_identifier_uri on the host {self.before}"
        else:
            keep = (
                f"register a sector_identifier_uri on the host {self.before}, or keep the sector with "
                f"kept_sector: {self.before}"
            )
        return f"{keep}; or accept that the application takes everybody for a new user: {accept}"


class SubjectsWouldChange(ClientError):
    """A change would give every user of an application a new ``sub``, and nobody has accepted that."""

    def __init__(self, changes: list[SubjectChange], accept: str, *, may_keep: bool = True) -> None:
        lines = [
            f"{change.client_id}: {change.text()}; {change.advice(f'{accept} {change.client_id}', may_keep=may_keep)}"
            for change in changes
        ]
        super().__init__("; ".join(lines))
        self.changes = changes
        self._lines = lines

    @property
    def mistakes(self) -> list[str]:
        """One line for each application."""
        return self._lines


def subject_basis(metadata: ClientMetadata) -> str:
    """Return what every ``sub`` of an application depends on: its sector; nothing for public subjects."""
    return metadata.sector_identifier if metadata.subject_type == "pairwise" else ""


def subject_change(client_id: str, before: ClientMetadata, after: ClientMetadata) -> SubjectChange | None:
    """Return the change of every ``sub`` that a change of metadata brings; None: there is none."""
    old, new = subject_basis(before), subject_basis(after)
    if old == new or not (_has_people(before) and _has_people(after)):
        return None
    return SubjectChange(client_id, old, new)


def check_kept_sector(before: ClientMetadata | None, after: ClientMetadata) -> None:
    """Check that a kept sector is the application's own of until now: nobody becomes part of another's sector with it.

    Args:
        before: what is registered; None: the application is new.
        after: what is to be registered.

    Raises:
        ClientError: when it is another one.
    """
    present = subject_basis(before) if before is not None else ""
    if after.kept_sector is not None and after.kept_sector != present:
        own = f"the sector that the application has now, {present}" if present else "left out: it has no sector now"
        raise ClientError(f"kept_sector: must be {own}")


def _has_people(metadata: ClientMetadata) -> bool:
    return set(metadata.grant_types) != {"client_credentials"}


def _basis(sector: str) -> str:
    return f"the sector {sector}" if sector else "the user id (public)"
