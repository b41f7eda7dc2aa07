"""What the view of tokens says: the answer in a sentence, facts, captions, and a sentence for each state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from jetlab.dashboard.messages import NO_CLASS, Notice, class_words
from jetlab.evaluate import with_uncertainty
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.vocabulary import class_named

if TYPE_CHECKING:
    from jetlab.dashboard.tokens.measures import Cloud, Summary, Tokenized

__all__ = [
    "FACTS", "SHORT", "answer", "caption", "decoding_failed", "facts", "jets_words", "lasting", "no_jets",
    "no_such_code", "spread_words", "tokenizing_failed", "usage_words",
]  # fmt: skip

SHORT = {
    "mass": "Mass", "pt": "pT", "tau21": "τ₂₁", "tau32": "τ₃₂", "d2": "D₂", "constituent_pt": "Const. pT",
    "constituent_ptrel": "relative", "constituent_deta": "Δη", "constituent_dphi": "Δφ",
}  # fmt: skip
"""Quantities as short as a chip."""

FACTS = (
    "Codebook used", "Perplexity", "Jet mass, bias", "Jet mass, IQR", "Constituent pT, IQR",
)  # fmt: skip
"""Names of the facts."""


# ---- states ---------------------------------------------------------------------------------------------------------


def lasting(classes: Sequence[str], tokenizers: Collection[str]) -> list[Notice]:
    """Notices that follow from the choices."""
    if not tokenizers:
        text = "No trained tokenizer is installed, so nothing can be shown here. “jetlab train tokenizer” makes one."
        return [Notice("tokenizer", "No tokenizer", text)]
    return [] if classes else [NO_CLASS]


def no_jets(classes: Sequence[str]) -> Notice:
    """None of the bundled jets is of these classes and of the split."""
    title = f"The test split has no {class_words(classes)} jets"
    return Notice("tokens", title, "Take all bundled jets.", "info", "all_jets", "All bundled jets")


def tokenizing_failed(tokenizer: str, error: Exception) -> Notice:
    """Jets could not be tokenized."""
    text = f"{tokenizer}: {str(error) or type(error).__name__}."
    return Notice("tokens", "The jets could not be tokenized", text.replace("..", "."), "error", "retry", "Try again")


def no_such_code(code: int, size: int) -> str:
    """A code lies outside the codebook."""
    return f"There is no code {code:,}: this codebook has 0 to {size - 1:,}. Tap a dot or take a random one."


def decoding_failed(code: int, error: Exception) -> str:
    """A code could not be decoded."""
    return f"Code {code:,} could not be decoded: {str(error) or type(error).__name__}."


# ---- the answer -----------------------------------------------------------------------------------------------------


def jets_words(tokenized: Tokenized) -> str:
    """How many jets of which classes and, if it is not all, the share of constituents that is kept."""
    kept = "" if tokenized.kept > 0.9995 else f" · {100 * tokenized.kept:.1f} % of the constituents kept"
    return f"{class_words(tokenized.names)} · {len(tokenized):,} jets{kept}"


def answer(tokenized: Tokenized, summary: Summary) -> str:
    """What the tokens lose, as HTML."""
    mass = {name: summary.rows["mass", name] for name in ("all", *tokenized.names)}
    blurred = with_uncertainty(mass["all"]["iqr"], mass["all"]["iqr_err"])
    pt = f"{100 * summary.rows['constituent_ptrel', 'all']['iqr']:.3g} %"
    words = [f"<b>Tokens blur the jet mass by {blurred} GeV</b>, constituent pT by {pt}"]
    if len(tokenized.names) > 1:
        worst = max(tokenized.names, key=lambda name: mass[name]["iqr"])
        words.append(f"worst: {escape(class_named(worst).symbol)}, {mass[worst]['iqr']:.1f} GeV")
    return " · ".join(words)


def _percent(summary: Summary) -> str:
    row = summary.rows["constituent_ptrel", "all"]
    return f"{with_uncertainty(100 * row['iqr'], 100 * row['iqr_err'])} %"


def facts(tokenized: Tokenized, summary: Summary) -> list[tuple[str, str, str]]:
    """The row of facts: name, number with uncertainty, and what to compare it with."""
    usage, mass = summary.usage, summary.rows["mass", "all"]
    size = tokenized.codebook_size
    values = (
        (f"{with_uncertainty(100 * usage['utilisation'], 100 * usage['utilisation_err'])} %",
         f"{usage['used']:,.0f} of {size:,} codes"),
        (with_uncertainty(usage["perplexity"], usage["perplexity_err"]),
         f"{100 * usage['perplexity'] / size:.0f} % of the codebook"),
        (f"{with_uncertainty(mass['bias'], mass['bias_err'])} GeV", "median of rebuilt − true"),
        (f"{with_uncertainty(mass['iqr'], mass['iqr_err'])} GeV",
         f"{100 * mass['far']:.1f} % beyond {mass['limit']:g} GeV"),
        (_percent(summary), "of rebuilt / true − 1"),
    )  # fmt: skip
    return [(name, *value) for name, value in zip(FACTS, values, strict=True)]


# ---- captions -------------------------------------------------------------------------------------------------------


def spread_words(quantity: str, row: Mapping[str, float] | None) -> str:
    """Bias, width and tails of a quantity, as HTML."""
    if row is None:
        return "measuring…"
    unit = f" {QUANTITIES[quantity].unit}" if QUANTITIES[quantity].unit else ""
    return (
        f"median {with_uncertainty(row['bias'], row['bias_err'])}, IQR "
        f"{with_uncertainty(row['iqr'], row['iqr_err'])}{unit} · tails "
        f"{with_uncertainty(100 * row['tail'], 100 * row['tail_err'])} %"
    )


def caption(cloud: Cloud, tokenized: Tokenized) -> str:
    """What a code stands for, as HTML."""
    count = int(tokenized.code_counts[cloud.code])
    if count:
        rank = int((tokenized.code_counts > count).sum()) + 1
        use = (
            f"used {count:,} times ({100 * count / len(tokenized.codes):.2g} %), rank {rank:,} of "
            f"{tokenized.codebook_size:,}"
        )
    else:
        use = "not used by these jets"
    low, high = cloud.range("pt")
    return (
        f"<b>Code {cloud.code:,}</b> · pT {cloud.middle('pt'):.3g} GeV (90 % in {low:.3g} to {high:.3g})<br>{use}<br>"
        f"Δη = {_signed(cloud.middle('deta'))}, Δφ = {_signed(cloud.middle('dphi'))}; IQR {cloud.spread('deta'):.2g} "
        f"and {cloud.spread('dphi'):.2g} in {len(cloud.table)} contexts"
    )


def _signed(value: float) -> str:
    """Two digits after the point, with a proper minus and never a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def usage_words(tokenized: Tokenized) -> str:
    """How unequally the codes are used."""
    ordered = tokenized.places.count
    half = int((ordered.cumsum() < ordered.sum() / 2).sum()) + 1
    unused = tokenized.codebook_size - len(ordered)
    rest = f"; {unused:,} never occur" if unused else "; every code occurs"
    return f"Half of the {len(tokenized.codes):,} constituents have one of {half:,} codes{rest}."
