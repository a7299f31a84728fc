"""Colours for people and lists, so that new ones do not all look alike."""

# Each is told from the others, and readable with black or white on it.
COLORS = (
    "#d9480f", "#1864ab", "#5c7a29", "#9c36b5", "#b97a10", "#0b7285", "#c2255c", "#1b7048", "#5f3dc4", "#6b5b4b",
)  # fmt: skip


def next_color(count: int) -> str:
    """The colour for the next one, where there are so many."""
    return COLORS[count % len(COLORS)]
