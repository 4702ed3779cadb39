"""A basket adds up."""

import unittest

from till import Basket


class Totals(unittest.TestCase):
    """What lines and baskets cost."""

    def test_an_empty_basket_costs_nothing(self) -> None:
        """Nothing scanned, nothing to pay."""
        self.assertEqual(0, Basket().total)

    def test_pieces_are_multiplied(self) -> None:
        """A line costs its price times its pieces."""
        self.assertEqual(260, Basket().add("Apple", 65, quantity=4).total)

    def test_lines_are_added(self) -> None:
        """A basket costs what its lines cost."""
        basket = Basket()
        basket.add("Oat bread", 420)
        basket.add("Apple", 65, quantity=4)
        self.assertEqual(680, basket.total)

    def test_a_line_has_at_least_one_piece(self) -> None:
        """No pieces are no line."""
        with self.assertRaisesRegex(ValueError, "Apple"):
            Basket().add("Apple", 65, quantity=0)


if __name__ == "__main__":
    unittest.main()
