"""The cart's promises; `python -m unittest discover tests` runs them as well as pytest does."""

import unittest

from cart import Cart


class TotalTest(unittest.TestCase):
    def test_an_empty_cart_costs_nothing(self) -> None:
        self.assertEqual(Cart().total_cents(), 0)

    def test_lines_add_up(self) -> None:
        cart = Cart()
        cart.add("tea", 450, count=2)
        cart.add("cup", 1200)
        self.assertEqual(cart.total_cents(), 2100)

    def test_a_negative_price_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Cart().add("tea", -1)


class DiscountTest(unittest.TestCase):
    def test_a_known_code_takes_its_percentage_off(self) -> None:
        cart = Cart()
        cart.add("cup", 1200)
        cart.redeem("FRIENDS")
        self.assertEqual(cart.total_cents(), 900)

    def test_an_unknown_code_is_refused(self) -> None:
        with self.assertRaises(KeyError):
            Cart().redeem("WINTER")


if __name__ == "__main__":
    unittest.main()
