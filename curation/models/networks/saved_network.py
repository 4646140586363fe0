"""Base classes of this package's networks, which are saved as a configuration and weights."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from torch import nn


@dataclass
class NetworkConfig:
    """Sizes of a network, as stored in config.json beside the network's weights.

    Attributes:
        model_type: the kind of model that config.json states.
    """

    model_type: ClassVar[str]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a configuration from the values of a config.json.

        Absent and null values get defaults. Unknown keys are ignored, because transformers adds
        some keys of its own. Raises TypeError if a nested value has unknown keys.
        """
        known = {field.name for field in fields(cls)}
        given = {name: values[name] for name in known & values.keys() if values[name] is not None}
        return cls(**cls._parse(given))

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The fields of JSON values; a subclass builds those that are no JSON values."""
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return the values for config.json, including `model_type`."""
        return {"model_type": self.model_type, **asdict(self)}


class SavedNetwork(nn.Module):
    """A network that is built from its configuration; `curation.models.weights` loads and saves it.

    Attributes:
        tied_weights: names of weights that share another weight; files store only the name of the
            other weight.
    """

    config_class: ClassVar[type[NetworkConfig]]
    tied_weights: ClassVar[frozenset[str]] = frozenset()

    config: Any

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def tie_weights(self) -> None:
        """Make the `tied_weights` share their weights again, after other weights were assigned."""
