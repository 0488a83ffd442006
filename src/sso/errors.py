"""The base of every failure whose message is for the person who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Refusal(Exception):
    """A request that is refused. The message says why, in one line, to the person who asked.

    ``http`` has one handler for this family: it answers with an error page, with JSON, or with a problem of the API.
    A subclass, or an instance, sets what differs.

    Attributes:
        status: the HTTP status. 500: the failure is the server's own; it is logged, and the answer does not repeat the
            message.
        code: names the refusal: the last part of the problem type ``urn:sso:problem:``, and the text of the error page.
        page: the text of the error page, where its name is not ``code``.
        error: the OAuth error code (RFC 6749 section 5.2) for programs; empty: the one that belongs to ``code``.
        retry_after: after how many seconds to try again; None: the answer does not say.
    """

    status = 500
    code = "refused"
    page = ""
    error = ""
    retry_after: int | None = None

    @property
    def mistakes(self) -> list[str]:
        """One line for each reason."""
        return [str(self)]

    @property
    def explanation(self) -> str:
        """What the answer says besides the text of ``code``; empty: nothing."""
        return str(self)

    @property
    def values(self) -> Mapping[str, int]:
        """The values that the text of the error page names."""
        return {}

    @property
    def located_mistakes(self) -> Sequence[tuple[str, str]]:
        """(JSON pointer or name of a parameter, text) of each mistake, where there are several."""
        lines = self.mistakes
        return [("", line) for line in lines] if len(lines) > 1 else []

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer that belong to this refusal."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class SeveralMistakes(Refusal):
    """What was given has mistakes, and each of them is said.

    Args:
        mistakes: one line for each.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self._mistakes = mistakes

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


class SettingsError(Exception):
    """The settings cannot be used. ``mistakes`` holds one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class NoPassword(ValueError):
    """The password field of an imported account holds a mark that says: no password opens this account.

    The account is taken over without a password. The message says what the mark was.
    """


def validation_message(problem: Mapping[str, object]) -> str:
    """Return the message of one of the errors of a pydantic ``ValidationError``, as the validator wrote it."""
    return str(problem["msg"]).removeprefix("Value error, ")


def validation_place(problem: Mapping[str, object]) -> tuple[str, ...]:
    """Return where one of the errors of a pydantic ``ValidationError`` stands: names and indexes, from the outside in;
    empty: it is about the whole."""
    place = problem["loc"]
    return tuple(str(part) for part in place) if isinstance(place, tuple) else ()


def validation_field(problem: Mapping[str, object]) -> str:
    """Return the field that one of the errors of a pydantic ``ValidationError`` is about; empty: it is about the
    whole."""
    return next(iter(validation_place(problem)), "")


def validation_line(problem: Mapping[str, object], whole: str = "") -> str:
    """Return one of the errors of a pydantic ``ValidationError`` as a line: its place, and its message.

    Args:
        problem: the error.
        whole: what stands for the place of an error about the whole; empty: nothing does.
    """
    place, message = ".".join(validation_place(problem)) or whole, validation_message(problem)
    return f"{place}: {message}" if place else message
