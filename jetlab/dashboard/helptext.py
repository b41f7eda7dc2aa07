"""The help of the page: every measure and observable in a sentence, with formula and reference."""

from __future__ import annotations

from html import escape

from jetlab.observables import OBSERVABLES

__all__ = ["help_html"]

_MEASURES = {
    "W₁": """
        Wasserstein-1 distance: the area between the two cumulative distributions, ∫ |F(x) − G(x)| dx, in the unit of
        the observable; for a pure shift it is the shift. Its uncertainty comes from resampling jets.
        [C. Villani, Optimal Transport: Old and New, Springer 2009]""",
    "Truth vs truth": """
        The floor: W₁ between two independent samples of true jets with the same numbers of jets, mean ± spread. No
        generator can be expected to be closer.""",
    "z": """
        (W₁ − floor) / spread of the floor. ✓ up to 2: within what true jets do among themselves; ! up to 5: attention;
        ✗ above: clearly different.""",
    "× floor": """
        W₁ / floor: how many times farther the generated jets are from the true ones than true jets from each other.""",
    "KS": """
        Largest gap between the two cumulative distributions, max |F(x) − G(x)|, and the probability p of a larger one
        if both samples came from the same jets. [A. Kolmogorov 1933; N. Smirnov 1948]""",
    "Ratio": """
        Generated / true in each bin. Error bars are the statistical uncertainty of the generated jets, the band around
        1 is that of the true ones; a triangle at the edge means the ratio is outside. Drag in the plot to zoom,
        double-click to see all of it again.""",
}

_TOKENS = {
    "Codebook used": """
        Utilisation: the share of the codes that occur in these jets, padding excluded, used / K. Few jets use fewer
        codes. [J. Birk, A. Hallin, G. Kasieczka, arXiv:2403.05618]""",
    "Perplexity": """
        The number of equally frequent codes with the same entropy, exp(−Σ p ln p); K if all K codes are used equally.
        [F. Jelinek et al., J. Acoust. Soc. Am. 62 (1977) S63]""",
    "Bias, IQR, tails": """
        Of rebuilt − true: the median; the interquartile range Q₇₅ − Q₂₅, which is 1.35 σ for a normal distribution; and
        the share farther from the median than 3 IQR / 1.35, which is 0.27 % for a normal one. Uncertainties come from
        resampling jets; constituents of a jet stay together. [arXiv:2403.05618; B. Efron, Ann. Stat. 7 (1979) 1]""",
    "What a code stands for": """
        The constituent that a code decodes to in the place of the hardest one of many jets: a conditional tokenizer
        gives a cloud, an unconditional one a point. 90 % is the range from 5 % to 95 %. [arXiv:2403.05618]""",
    "Use of the codebook": """
        How often each code occurs, most frequent first; equal use is N / K for N constituents and K codes.
        [G. K. Zipf, Human Behavior and the Principle of Least Effort, 1949]""",
    "Accuracy": """
        Share of jets of ten classes that a classifier recognises when trained and tested on rebuilt jets; the gap to
        that on original jets is what tokens have lost for tagging. [arXiv:2403.05618]""",
}


def help_html() -> str:
    """The help as HTML: lists of measures, of measures of tokens, and of observables."""
    measures = "".join(_entry(name, text) for name, text in _MEASURES.items())
    observables = "".join(
        _entry(o.title, f"{o.definition} [{o.reference}]" if o.reference else o.definition)
        for o in OBSERVABLES.values()
    )
    tokens = "".join(_entry(name, text) for name, text in _TOKENS.items())
    return (
        f"<h4>Measures</h4><dl>{measures}</dl><h4>Tokens</h4><dl>{tokens}</dl>"
        f"<h4>Observables</h4><dl>{observables}</dl>"
    )


def _entry(name: str, text: str) -> str:
    """One measure; a reference in square brackets at the end is set smaller."""
    definition, _, reference = text.strip().removesuffix("]").partition(" [")
    source = f' <span class="ref">{escape(reference)}</span>' if reference else ""
    return f"<dt>{escape(name)}</dt><dd>{escape(definition)}{source}</dd>"
