"""Class names where there is little room."""


def short(name: str, most: int) -> str:
    """Shorten the name to `most` characters, keeping both ends, since classes often share one of them.

    >>> short("automobile", 10), short("great spotted woodpecker", 11)
    ('automobile', 'great\N{HORIZONTAL ELLIPSIS}ecker')
    """
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - tail :]}"
