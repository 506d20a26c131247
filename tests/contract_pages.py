"""The generated parts of docs/contracts.md, as they stand in the page."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "contracts.md"
RENEW = "run: faultline contracts --save docs/contracts.md"


def part_of_page(name):
    text = PAGE.read_text("utf-8")
    _, opening, rest = text.partition(f"<!-- generated: {name} -->")
    part, closing, _ = rest.partition(f"<!-- end of {name} -->")
    assert opening
    assert closing
    return part.strip()
