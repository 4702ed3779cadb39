"""The receipt as a customer reads it."""

from till.basket import Basket, LineItem
from till.money import format_cents

WIDTH = 32


def receipt(basket: Basket) -> str:
    """Print a basket: a row for each line, a rule, the total."""
    rows = [_row(_label(line), line.total) for line in basket.lines]
    rows.append("-" * WIDTH)
    rows.append(_row("Total", basket.total))
    return "\n".join(rows) + "\n"


def _label(line: LineItem) -> str:
    return line.name if line.quantity == 1 else f"{line.quantity} x {line.name}"


def _row(label: str, cents: int) -> str:
    """A label on the left, cut if it is too long, and an amount on the right."""
    amount = format_cents(cents)
    room = WIDTH - len(amount) - 1
    return f"{label[:room]:<{room}} {amount}"
