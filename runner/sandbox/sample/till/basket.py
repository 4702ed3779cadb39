"""What a customer buys, line by line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LineItem:
    """Some pieces of one article; ``price`` is that of a single piece, in cents."""

    name: str
    price: int
    quantity: int = 1

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError(f"{self.name}: a line has at least one piece, not {self.quantity}")

    @property
    def total(self) -> int:
        """What the line costs, in cents."""
        return self.price * self.quantity


class Basket:
    """The lines of one purchase, in the order in which they were scanned."""

    def __init__(self) -> None:
        self._lines: list[LineItem] = []

    def add(self, name: str, price: int, quantity: int = 1) -> LineItem:
        """Put pieces of an article into the basket."""
        line = LineItem(name, price, quantity)
        self._lines.append(line)
        return line

    @property
    def lines(self) -> tuple[LineItem, ...]:
        """What was scanned so far."""
        return tuple(self._lines)

    @property
    def total(self) -> int:
        """What everything costs together, in cents."""
        return sum(line.total for line in self._lines)
