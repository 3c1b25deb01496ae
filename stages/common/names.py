"""Class names where there is little room for them."""


def short(name: str, most: int) -> str:
    """At most `most` characters of the name, both ends kept, since classes often share one of them.

    >>> short("automobile", 10), short("great spotted woodpecker", 11)
    ('automobile', 'great\N{HORIZONTAL ELLIPSIS}ecker')
    """
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - tail :]}"
