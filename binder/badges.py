"""Print, or write into README.md, the Binder badges of a published copy of this repository.

    python binder/badges.py https://github.com/you/jetlab            # print them
    python binder/badges.py https://github.com/you/jetlab --write    # put them into README.md

Without an address the one of the git remote ``origin`` is taken. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

TARGETS = {
    "lab": "lab/tree/notebooks/01_first_jets.ipynb",
    "dashboard": "panel-preview/render/dashboards/compare.py",
}
"""What each badge of README.md opens, as Binder's ``urlpath``."""

README = Path(__file__).parents[1] / "README.md"


def binder_link(repository: str, target: str, *, ref: str = "HEAD") -> str:
    """Link that starts this repository on mybinder.org and opens `target`.

    Parameters
    ----------
    repository : str
        Public address, such as ``https://github.com/you/jetlab`` or ``git@github.com:you/jetlab.git``.
    target : str
        ``lab`` or ``dashboard``.
    ref : str
        Branch, tag or commit.

    Raises
    ------
    ValueError
        If the address is not a public web or ssh address.
    """
    address = urlsplit(re.sub(r"^git@([^:/]+):", r"https://\1/", repository.strip()))
    path = address.path.strip("/").removesuffix(".git")
    if address.scheme not in ("https", "http", "ssh") or not address.hostname or not path:
        msg = f"{repository!r} is not a public address; expected something like https://github.com/you/jetlab"
        raise ValueError(msg)
    if address.hostname == "github.com":
        provider = f"gh/{path}"
    elif address.hostname == "gitlab.com":
        provider = f"gl/{quote(path, safe='')}"
    else:
        provider = f"git/{quote(f'https://{address.hostname}/{path}', safe='')}"
    return f"https://mybinder.org/v2/{provider}/{quote(ref, safe='')}?urlpath={quote(TARGETS[target], safe='')}"


def with_links(readme: str, repository: str, *, ref: str = "HEAD") -> str:
    """Text of `readme` with its ``[lab]:`` and ``[dashboard]:`` link lines pointing to Binder.

    Raises
    ------
    ValueError
        If the text lacks one of the lines.
    """
    for target in TARGETS:
        line = f"[{target}]: {binder_link(repository, target, ref=ref)}"
        readme, count = re.subn(rf"^\[{target}\]: .*$", lambda _, line=line: line, readme, flags=re.MULTILINE)
        if count != 1:
            msg = f"README.md has {count} lines that begin with '[{target}]: ', expected one"
            raise ValueError(msg)
    return readme


def origin() -> str:
    """Address of the git remote ``origin``, or an empty string if there is none."""
    command = ["git", "-C", str(README.parent), "remote", "get-url", "origin"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Binder badges for a published copy of this repository")
    parser.add_argument("repository", nargs="?", default=origin(), help="public address; default: the remote 'origin'")
    parser.add_argument("--ref", default="HEAD", help="branch, tag or commit")
    parser.add_argument("--write", action="store_true", help="put the links into README.md")
    options = parser.parse_args()
    try:
        links = {target: binder_link(options.repository, target, ref=options.ref) for target in TARGETS}
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.write:
        README.write_text(with_links(README.read_text(encoding="utf-8"), options.repository, ref=options.ref), "utf-8")
    sys.stdout.write("".join(f"{target}: {link}\n" for target, link in links.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
