"""Pages under docs/ of which a command writes a part: what stands between two markers; words around it stay."""

from __future__ import annotations

from pathlib import Path


def write_section(page: Path, name: str, text: str) -> None:
    """Replaces what stands between a page's markers `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
      ValueError: the page has no such markers, or has them twice.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    whole = page.read_text(encoding="utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise ValueError(f"{page}: expected {begin.strip()} and {end.strip()}, once each, on lines of their own.")
    before, _, rest = whole.partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}{text.rstrip()}\n{end}{after}", encoding="utf-8")
