"""Base class of the sections of YAML files."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all YAML sections: unknown keys are errors, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
