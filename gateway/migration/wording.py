"""How messages of the migration count things."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, as `1 value` and `1,200 values`; `plural` where it takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
