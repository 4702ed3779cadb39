"""A receipt can be read and added up by the customer."""

import unittest

from till import Basket, receipt


def shopping() -> Basket:
    """Bread and apples for 6.80."""
    basket = Basket()
    basket.add("Oat bread", 420)
    basket.add("Apple", 65, quantity=4)
    return basket


class Rows(unittest.TestCase):
    """What stands on the paper."""

    def test_every_line_has_a_row(self) -> None:
        """Lines come in the order in which they were scanned, then the total."""
        labels = [row.split("  ")[0] for row in receipt(shopping()).splitlines()]
        self.assertEqual(["Oat bread", "4 x Apple", "-" * 32, "Total"], labels)

    def test_all_rows_are_equally_wide(self) -> None:
        """A name that is too long is cut."""
        basket = shopping()
        basket.add("Sunflower seed bread from the village", 550)
        self.assertEqual({32}, {len(row) for row in receipt(basket).splitlines()})

    def test_the_total_comes_last(self) -> None:
        """What is to be paid stands at the end."""
        self.assertTrue(receipt(shopping()).endswith(" 6.80\n"))


if __name__ == "__main__":
    unittest.main()
