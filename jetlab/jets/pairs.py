"""The class `Pairs`: each jet before and after the detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets.checks import check_per_jet
from jetlab.jets.container import Jets, concatenate

__all__ = ["Pairs", "concatenate_pairs"]


class Pairs:
    """An immutable set of jets at generator level, each with its counterpart at detector level.

    Parameters
    ----------
    generated, detected : Jets
        The jets at both levels; jet ``i`` of one belongs to jet ``i`` of the other.
    info : mapping of str to array_like, optional
        Further columns with one value a pair, such as ``split`` or the momentum of the Z boson beside the jet. What
        belongs to one level is in the ``info`` of its jets.
    meta : mapping, optional
        JSON-safe provenance; by default that of the detected jets.

    Raises
    ------
    InvalidJetsError
        If lengths disagree.
    """

    def __init__(
        self,
        generated: Jets,
        detected: Jets,
        *,
        info: Mapping[str, npt.ArrayLike] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        if len(generated) != len(detected):
            found = f"{len(generated)} jets at generator level and {len(detected)} at detector level"
            msg = f"{found} cannot be paired: expected as many, in the same order"
            raise InvalidJetsError(msg)
        self._generated, self._detected = generated, detected
        self._info = {name: np.asarray(values) for name, values in (info or {}).items()}
        self.meta = dict(detected.meta if meta is None else meta)
        check_per_jet(len(self), self._info, unit="pair")

    @property
    def generated(self) -> Jets:
        """Jets at generator level, before the detector."""
        return self._generated

    @property
    def detected(self) -> Jets:
        """Jets at detector level."""
        return self._detected

    @property
    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Further columns with one value a pair."""
        return dict(self._info)

    def __len__(self) -> int:
        return len(self._generated)

    def __iter__(self) -> Iterator[Pairs]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, where: Any) -> Pairs:
        """Select pairs with a slice, boolean mask, integer array or integer."""
        index = np.atleast_1d(np.arange(len(self))[where])
        info = {name: values[index] for name, values in self._info.items()}
        return Pairs(self._generated[index], self._detected[index], info=info, meta=self.meta)

    def with_info(self, **columns: npt.ArrayLike) -> Pairs:
        """The same pairs with further columns, each of shape ``(n,)``."""
        return Pairs(self._generated, self._detected, info=self._info | columns, meta=self.meta)

    def with_meta(self, **entries: Any) -> Pairs:
        """The same pairs with further provenance entries."""
        return Pairs(self._generated, self._detected, info=self._info, meta=self.meta | entries)

    def __repr__(self) -> str:
        if not len(self):
            return "<Pairs: none>"
        source = f", {self.meta['source']}" if "source" in self.meta else ""
        return (
            f"<Pairs: {len(self):,} jets at generator and detector level{source}>\n"
            f"  generated {_summary(self._generated)}\n  detected {_summary(self._detected)}"
        )


def concatenate_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Join several sets of pairs; see `jetlab.jets.concatenate`."""
    columns = [c for c in parts[0].info if all(c in p.info for p in parts)]
    return Pairs(
        concatenate([p.generated for p in parts]),
        concatenate([p.detected for p in parts]),
        info={c: np.concatenate([p.info[c] for p in parts]) for c in columns},
        meta=parts[0].meta,
    )


def _summary(jets: Jets) -> str:
    particles, pt = jets.multiplicity.mean(), np.median(jets.pt)
    return f"{particles:.1f} constituents per jet, pT median {pt:.0f} GeV, mass median {np.median(jets.mass):.1f} GeV"
