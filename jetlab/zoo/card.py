"""The model card that is written when none is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jetlab.zoo.folder import Config

__all__ = ["default_card", "with_section"]


def default_card(name: str, config: Config, *, parameters: int) -> str:
    """Write a short Markdown card: what the model is, how to load it, how it came about.

    Parameters
    ----------
    name : str
        Title of the card.
    config : Config
        Architecture, configuration and provenance.
    parameters : int
        Number of parameters.
    """
    facts = {"architecture": config.architecture, "parameters": f"{parameters:,}"} | config.provenance
    description = facts.pop("description", f"A model of architecture {config.architecture}.")
    rows = "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items())
    settings = json.dumps(config.config, indent=2, ensure_ascii=False)
    return (
        f"# {name}\n\n{description}\n\n"
        f'```python\nimport jetlab\n\nmodel = jetlab.from_pretrained("path/to/{name}")\n```\n\n'
        f"| | |\n|---|---|\n{rows}\n\n## Configuration\n\n```json\n{settings}\n```\n"
    )


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")


def with_section(card: str, title: str, text: str) -> str:
    """Put a section of this title and text into a card, in place of an earlier one of the same title or at the end.

    Parameters
    ----------
    card : str
        Markdown.
    title : str
        Heading of second level.
    text : str
        Markdown without headings of first or second level.
    """
    before, _, rest = card.partition(f"\n## {title}\n")
    _, found, after = rest.partition("\n## ")
    end = f"\n## {after}" if found else ""
    return f"{before.rstrip()}\n\n## {title}\n\n{text.strip()}\n{end}"
