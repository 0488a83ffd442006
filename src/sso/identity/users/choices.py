"""Values of identity checks and merge proposals that commands and rules share. Their own module: help imports no
rule."""

from __future__ import annotations

from typing import Literal, get_args

DOCUMENTS = ("ktp", "passport", "kk", "other")
ProposalState = Literal["open", "merged", "separate", "dropped"]
PROPOSAL_STATES: tuple[ProposalState, ...] = get_args(ProposalState)
