"""The base class of the schemas of answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ResponseModel(BaseModel):
    """A schema of answers. It is built for the first of them: most processes need few of these.

    Schemas of request bodies are not deferred: FastAPI silences a warning of pydantic while it declares a route, and a
    deferred schema would be built after that.
    """

    model_config = ConfigDict(defer_build=True)
