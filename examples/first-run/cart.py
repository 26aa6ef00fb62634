"""A shopping cart: lines, a discount code and a total in cents."""

from dataclasses import dataclass, field

DISCOUNTS = {"SPRING": 10, "FRIENDS": 25}


@dataclass
class Cart:
    lines: list[tuple[str, int, int]] = field(default_factory=list)
    percent_off: int = 0

    def add(self, name: str, price_cents: int, count: int = 1) -> None:
        if price_cents < 0 or count < 1:
            raise ValueError(f"{name}: a price is not negative, a count at least 1")
        self.lines.append((name, price_cents, count))

    def redeem(self, code: str) -> None:
        if code not in DISCOUNTS:
            raise KeyError(code)
        self.percent_off = DISCOUNTS[code]

    def total_cents(self) -> int:
        full = sum(price * count for _, price, count in self.lines)
        return full - full * self.percent_off // 100
