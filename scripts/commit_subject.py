#!/usr/bin/env python3
"""Refuse a commit whose subject is not a short imperative sentence.

    python scripts/commit_subject.py FILE            the message in FILE (git's hook commit-msg)
    python scripts/commit_subject.py --range A..B    every commit of a range (pull requests)

A subject names one change in 10 to 72 characters: "Limit TOTP attempts per account". It begins with a capital letter
and a verb in its base form, has no prefix ("fix:"), no semicolon and no full stop at the end. The script knows no
grammar: it refuses first words that are no verbs (articles, pronouns, numbers, some nouns), and words that end like
"Added", "Adding" or "Adds". Subjects that git writes itself ("Merge branch ...", "Revert ...") pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MIN, MAX = 10, 72
NOT_A_VERB = re.compile(
    "an?|the|th(is|at|ese|ose)|what|who|whoever|when|where|which|why|how|its?|there|we|i|you|he|she|they|no|not|nobody"
    "|nothing|every|every(body|thing)|some|some(body|thing)|all|each|one|two|three|many|more|most|new|wip|tests|code"
    "|docs|documents|minor|misc|small|various"
)
"""First words that begin no imperative sentence, in lower case."""
BASE_FORM = re.compile("embed|shed|.*eed|[bpsw]?r?ing|string|focus|.*ss")
"""Verbs whose base form ends like another form."""
WRITTEN_BY_GIT = re.compile(
    r'(Merge (branch|commit|tag|pull request|remote-tracking branch) |Revert "|(fixup|squash)! )'
)


def refusal(subject: str) -> str:
    """Return why ``subject`` is refused; an empty text where it is accepted."""
    if WRITTEN_BY_GIT.match(subject):
        return ""
    if not MIN <= len(subject) <= MAX:
        return f"has {len(subject)} characters; write {MIN} to {MAX}"
    if re.match(r"[\w()!/-]+: ", subject):
        return "begins with a prefix; write a sentence without one"
    if subject.endswith("."):
        return "ends with a full stop; leave it out"
    if ";" in subject:
        return "has a semicolon; make two commits, or name what both changes do"
    first = subject.split()[0]
    if not re.fullmatch(r"[A-Z][a-z]*(-[a-z]+)?", first):
        return f"begins with {first!r}; begin with a verb that has a capital letter"
    verb = first.lower()
    if NOT_A_VERB.fullmatch(verb):
        return f"begins with {first!r}, which is no verb; say what the commit does"
    if re.search(r"(ed|ing|s)$", verb) and not BASE_FORM.fullmatch(verb):
        return f"begins with {first!r}; write the base form of the verb, as in 'Add' or 'Limit'"
    return ""


def subjects(arguments: list[str]) -> list[str]:
    """Return the subjects that the arguments of the command name."""
    match arguments:
        case ["--range", commits]:
            command = ["git", "log", "--no-merges", "--format=%s", commits, "--"]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
        case [file]:
            lines = [line for line in Path(file).read_text("utf-8").splitlines() if not line.startswith("#")]
            return [next((line for line in lines if line.strip()), "")]
        case _:
            sys.exit(__doc__)


def main() -> None:
    """Print each refused subject with the reason. Exit code 1 where there is one."""
    refused = [(subject, refusal(subject)) for subject in subjects(sys.argv[1:])]
    lines = [f"{subject!r} {reason}" for subject, reason in refused if reason]
    if lines:
        sys.exit("\n".join(["The subject of this commit is refused:", *lines]))


if __name__ == "__main__":
    main()
