"""What kind of events a set of `Jets` holds: jets of hadrons, or neutrino interactions seen as sets of tokens.

A domain says what the particle type codes mean, which further fields a constituent has, and which size is plausible.
"""

from __future__ import annotations

from dataclasses import dataclass

from jetlab.errors import InvalidJetsError
from jetlab.vocabulary import PARTICLE_TYPES, TOKEN_TYPES

__all__ = ["DOMAINS", "JETS", "NEUTRINO", "Domain", "domain_named"]


@dataclass(frozen=True)
class Domain:
    """A kind of events.

    Parameters
    ----------
    name : str
        Short name, as in ``jets.domain`` and ``meta["domain"]``.
    unit, part : str
        What one entry and one constituent are called.
    types : tuple of str
        Meaning of the codes in the field ``ptype``.
    fields : tuple of str
        Constituent fields that only this domain has, all of float type.
    scale : str
        Quantity by which wrong units are found: ``"pt"`` or ``"energy"``.
    plausible : tuple of float
        Lowest and highest median of it [GeV].
    at_rest : bool
        Whether constituents may have no transverse momentum.
    """

    name: str
    unit: str
    part: str
    types: tuple[str, ...]
    fields: tuple[str, ...] = ()
    scale: str = "pt"
    plausible: tuple[float, float] = (2.0, 50_000.0)
    at_rest: bool = False


JETS = Domain("jets", "jet", "constituent", PARTICLE_TYPES)

NEUTRINO = Domain(
    "neutrino",
    "neutrino event",
    "token",
    TOKEN_TYPES,
    fields=("dedx", "pos_x", "pos_y", "pos_z", "time"),
    scale="energy",
    plausible=(0.02, 200.0),
    at_rest=True,
)
"""Interactions of neutrinos of some GeV: mean energy loss ``dedx`` (unit of the source), position [mm], time [ns]."""

DOMAINS = {domain.name: domain for domain in (JETS, NEUTRINO)}


def domain_named(name: str) -> Domain:
    """Return the domain with this name.

    Raises
    ------
    InvalidJetsError
        If there is none.
    """
    if name not in DOMAINS:
        msg = f"unknown domain {name!r}; expected one of {', '.join(DOMAINS)}"
        raise InvalidJetsError(msg)
    return DOMAINS[name]
