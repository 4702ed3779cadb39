"""A shop's till: fill a basket, add it up, print the receipt."""

from till.basket import Basket, LineItem
from till.money import format_cents, parse_cents
from till.receipt import receipt

__all__ = [
    "Basket",
    "LineItem",
    "format_cents",
    "parse_cents",
    "receipt",
]
