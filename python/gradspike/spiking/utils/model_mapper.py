"""Parameters of one model for another whose names differ."""

import warnings
from typing import Dict

import torch
from torch import Tensor


class MixinHXModelMapper:
    """Mixin for modules: `map_from` takes parameters from the state dictionary of a model with other names."""

    def map_from(self, state_dict: Dict[str, Tensor], mapping: Dict[str, str], map_all: bool = True) -> None:
        """Copies entries of a state dictionary into the own ones, in place.

        An own entry whose name is in the state dictionary takes it, whatever the mapping says; any other takes
        `state_dict[mapping[name]]`.

        Args:
            state_dict: State dictionary of another model.
            mapping: Name here to name there.
            map_all: Whether every own entry is taken; False: those in the mapping.

        Raises:
            KeyError: an entry is neither in the state dictionary nor, through the mapping, there.

        Example:
            >>> class Layer(MixinHXModelMapper, torch.nn.Linear):
            ...     pass
            >>> layer = Layer(1, 1, bias=False)
            >>> layer.map_from({"other": torch.ones(1, 1)}, {"weight": "other"})
            >>> layer.weight.item()
            1.0
        """
        own: Dict[str, Tensor] = self.state_dict()  # type: ignore[attr-defined]
        for name in mapping.keys() - own.keys():
            warnings.warn(f"map_from: the model has no entry {name!r}, which the mapping names", stacklevel=2)
        for name, value in own.items():
            if not map_all and name not in mapping:
                continue
            source = name if name in state_dict else mapping.get(name)
            if source not in state_dict:
                named = f", nor is {source!r}, which the mapping names" if source is not None else " nor in the mapping"
                raise KeyError(f"map_from: {name!r} is not in the state dictionary{named}")
            with torch.no_grad():
                value.copy_(state_dict[source])
