"""``python -m jetlab.cli``, the same as ``jetlab``."""

from __future__ import annotations

from jetlab.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
