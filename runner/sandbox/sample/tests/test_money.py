"""Amounts are exact, and what is written can be read."""

import unittest

from till.money import format_cents, parse_cents


class Parsing(unittest.TestCase):
    """Prices as people type them."""

    def test_reads_whole_and_broken_amounts(self) -> None:
        """One or two decimals, or none."""
        for text, cents in {"4": 400, "4.5": 450, "4.05": 405, " 12.30 ": 1230, "-0.05": -5}.items():
            with self.subTest(text=text):
                self.assertEqual(cents, parse_cents(text))

    def test_refuses_what_is_no_price(self) -> None:
        """Words, three decimals and a lone sign are no prices."""
        for text in ("", "four", "1.234", "-", "1.2.3"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse_cents(text)


class Formatting(unittest.TestCase):
    """Prices as people read them."""

    def test_writes_two_decimals(self) -> None:
        """Cents always have two digits."""
        self.assertEqual("4.05", format_cents(405))

    def test_a_debt_keeps_its_sign(self) -> None:
        """Less than one unit below zero is still below zero."""
        self.assertEqual("-0.05", format_cents(-5))

    def test_what_is_written_can_be_read(self) -> None:
        """Every amount survives writing and reading."""
        for cents in (0, 5, 99, 450, -5, 99_999, 1_234_567):
            self.assertEqual(cents, parse_cents(format_cents(cents)))


if __name__ == "__main__":
    unittest.main()
