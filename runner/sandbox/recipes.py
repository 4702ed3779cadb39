"""The story about the sample project: what people write, and how a scripted model does what they ask.

A recipe looks at what was read, changed and checked so far and says the next move; it never counts. It is
chosen by what the work asks for. Whatever already stands in the files is not done again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files as resources
from importlib.resources.abc import Traversable

from runner.sandbox.observed import Edit, Item, Move, NewFile, Observed, Point, choose

TICKET_SUMMARY = "Discounts and receipts for the till"
TICKET_DESCRIPTION = """\
Our regular customers get something off, and so far the cashier works that out by hand. The receipt does not show it either, and amounts over a thousand are hard to read.

## Acceptance criteria

- The till can take a percentage discount off an amount.
- The receipt shows the discount and the total after it.
- Amounts from one thousand on are written with their thousands grouped.
- Everything that worked before works as before."""

PLAN_COMMENT = (
    "Please group the thousands with a space, not with a comma: that is how our price tags look. "
    "The rest of the plan is fine."
)

QUESTION = (
    "A discount can end in half a cent: 10 percent of 1.25 are 12.5 cents. Which rule do you want: "
    "round half up (13 cents), or round half to even (12 cents), as banks do?"
)
QUESTION_ANSWER = "Half up, please. That is what our customers expect."
OTHER_ANSWER = "Half to even, please, so that it evens out over the day."

JIRA_FEEDBACK = (
    "Nice. Customers ask what they saved: please end the receipt with a line that says how much was saved."
)

REVIEW_BODY = (
    "Good work. Two things before this can be merged: see the inline comment, and please say in the README "
    "how large amounts are written."
)
REVIEW_INLINE = (
    "till/money.py",
    'grouped = f"{units:,}"',
    "Please give the separator a name, such as `GROUP`, and use it for reading and for writing.",
)

SEPARATORS: Mapping[str, str] = {"comma": ",", "space": " ", "apostrophe": "'"}
_SEPARATOR_WORDS = {name: rf"\b{name}s?\b" for name in SEPARATORS}
_ALONE = r"\s*(?:[,.!]|please|$)"
_ROUNDINGS = {
    "up": rf"half[ -](?:a cent )?up\b|round(?:ed|s|ing)? (?:it |them )?up\b|^\s*up{_ALONE}",
    "even": rf"half[ -](?:a cent )?(?:to[ -])?even\b|\bto (?:the nearest )?even\b|bankers?\b|^\s*even{_ALONE}",
}


def sample_files() -> dict[str, bytes]:
    """The sample project's files by path: the first commit of its repository."""
    return dict(_files(resources("runner.sandbox") / "sample", ""))


def _files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir() and entry.name != "__pycache__":
            found += _files(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


# --- the plan ------------------------------------------------------------------------------------


def plan_items(asked: str) -> tuple[Item, ...]:
    """Return the items for what a ticket asks for, in the words that it uses."""
    wanted = {
        item.id: item
        for pattern, item in (
            (r"discount", _discounts_item()),
            (r"thousand", _amounts_item("comma")),
            (r"receipt\b.*discount|discount\b.*receipt", _receipt_item()),
        )
        if re.search(pattern, asked, re.IGNORECASE)
    }
    return tuple(
        replace(item, depends_on=tuple(one for one in item.depends_on if one in wanted))
        for item in wanted.values()
    )


def revised_item(item: Item, point: Point) -> Item:
    """Change the item that a point of feedback is about; every other item comes back as it is."""
    separator = choose((point.text,), _SEPARATOR_WORDS)
    if item.id == "amounts" and separator is not None:
        return _amounts_item(separator)
    return item


def _discounts_item() -> Item:
    return Item(
        id="discounts",
        title="Take a percentage discount off an amount",
        description=(
            "A new module `till/discounts.py` with a `Discount` that has a name and a percentage and says how many "
            "whole cents it takes off an amount. Half a cent is rounded the way the shop wants it."
        ),
        files=("till/discounts.py", "till/__init__.py", "tests/test_discounts.py"),
        acceptance=(
            "10 percent off 6.80 are 0.68.",
            "A percentage below 0 or above 100 is refused, naming it.",
            "What is taken off is a whole number of cents, rounded by one documented rule.",
        ),
        verify=("tests", "style"),
    )


def _amounts_item(separator: str) -> Item:
    written = f"12{SEPARATORS[separator]}345.67"
    article = "an" if separator == "apostrophe" else "a"
    return Item(
        id="amounts",
        title="Group the thousands of large amounts",
        description=f"`format_cents` in `till/money.py` groups thousands with {article} {separator}.",
        files=("till/money.py", "tests/test_money.py"),
        acceptance=(
            f"1234567 cents are written as {written}.",
            "Amounts below one thousand are written as before.",
            "Whatever is written can still be read.",
        ),
        verify=("tests", "style"),
    )


def _receipt_item() -> Item:
    return Item(
        id="receipt-discount",
        title="Show the discount on the receipt",
        description=(
            "`receipt` in `till/receipt.py` takes a discount, prints what it takes off in a row of its own, and "
            "the total after it. Without a discount the receipt stays as it is."
        ),
        files=("till/receipt.py", "tests/test_receipt.py"),
        acceptance=(
            "A receipt with a discount has a row with its name, its percentage and the amount off.",
            "The total is what is to be paid after the discount.",
            "A receipt without a discount looks as before.",
        ),
        verify=("tests", "style"),
        depends_on=("discounts",),
    )


# --- the discount --------------------------------------------------------------------------------

_RULES = {
    "up": ("half a cent is rounded up", "        return whole + (rest >= 50)\n"),
    "even": (
        "half a cent is rounded to even",
        "        return whole + (rest > 50 or (rest == 50 and whole % 2 == 1))\n",
    ),
}
_DISCOUNTS = '''\
"""What is taken off an amount."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Discount:
    """A percentage off, under the name that the customer reads."""

    name: str
    percent: int

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"{self.name}: a discount is 0 to 100 percent, not {self.percent}")

    def off(self, cents: int) -> int:
        """What is taken off an amount, in cents; RULE."""
        whole, rest = divmod(cents * self.percent, 100)
'''
_ROUNDED = {"up": "{125: 13, 135: 14, 124: 12}", "even": "{125: 12, 135: 14, 124: 12}"}
_DISCOUNT_TESTS = '''\
"""A discount takes off whole cents, by one rule."""

import unittest

from till import Discount


class Off(unittest.TestCase):
    """What a discount takes off an amount."""

    def test_takes_off_its_percentage(self) -> None:
        """10 percent off 6.80 are 0.68."""
        self.assertEqual(68, Discount("Regulars", 10).off(680))

    def test_rounds_half_a_cent_by_the_rule(self) -> None:
        """RULE."""
        for cents, off in ROUNDED.items():
            with self.subTest(cents=cents):
                self.assertEqual(off, Discount("Regulars", 10).off(cents))

    def test_refuses_what_is_no_percentage(self) -> None:
        """Nobody pays more for a discount, and nobody is paid for shopping."""
        for percent in (-1, 101):
            with self.subTest(percent=percent), self.assertRaisesRegex(ValueError, str(percent)):
                Discount("Regulars", percent)


if __name__ == "__main__":
    unittest.main()
'''


def discounts(seen: Observed) -> Move:
    """A new module with its tests; asks how to round if nobody said so, and follows whatever the answer is."""
    rule = choose(seen.said, _ROUNDINGS)
    module, tests = "till/discounts.py", "tests/test_discounts.py"
    known = [path for path in (module, tests) if seen.has(path)]
    move = seen.read("till/basket.py", "till/__init__.py", "tests/test_basket.py", *known) or seen.search(
        "(?i)round", "Does the project already round by some rule?"
    )
    if move is not None or rule is None:
        return move or seen.ask(
            QUESTION, "Nobody said how half a cent is rounded, and it changes what people pay."
        )
    said, _ = _RULES[rule]
    changes: tuple[Edit | NewFile, ...] = (
        NewFile(path=module, content=_discount_module(rule)),
        NewFile(path=tests, content=_discount_tests(rule)),
        *_discount_export(),
    )
    corrections = _other_rule(seen, rule)
    return (
        seen.apply(*changes, *corrections, why=f"The thread says it: {said}.")
        or seen.check()
        or seen.finish(
            f"Adds `Discount` in `{module}`: a name, a percentage, and what it takes off in whole cents; {said}. "
            f"`till` exports it; `{tests}` covers the rule.",
            evidence=tests,
            unmade=seen.unmade(*changes, *corrections),
            answers=(
                (r"half|even|round|up\b", f"{said[0].upper()}{said[1:]}: see `Discount.off` and `{tests}`."),
            ),
        )
    )


def _discount_module(rule: str) -> str:
    said, line = _RULES[rule]
    return _DISCOUNTS.replace("RULE", said) + line


def _discount_tests(rule: str) -> str:
    said, _ = _RULES[rule]
    return _DISCOUNT_TESTS.replace("RULE", said.capitalize()).replace("ROUNDED", _ROUNDED[rule])


def _discount_export() -> tuple[Edit, ...]:
    path, after = "till/__init__.py", "from till.basket import Basket, LineItem\n"
    return (
        Edit(path=path, old=after, new=f"{after}from till.discounts import Discount\n"),
        Edit(path=path, old='    "Basket",\n', new='    "Basket",\n    "Discount",\n'),
    )


def _other_rule(seen: Observed, rule: str) -> tuple[Edit, ...]:
    """What to change in files that were written by the other rule."""
    module, tests = "till/discounts.py", "tests/test_discounts.py"
    other = next(name for name in _RULES if name != rule)
    if _RULES[other][1] not in seen.files.get(module, ""):
        return ()
    (said, line), (other_said, other_line) = _RULES[rule], _RULES[other]
    return (
        Edit(path=module, old=other_line, new=line),
        Edit(path=module, old=other_said, new=said),
        Edit(path=tests, old=_ROUNDED[other], new=_ROUNDED[rule]),
        Edit(path=tests, old=other_said.capitalize(), new=said.capitalize()),
    )


# --- grouped thousands ---------------------------------------------------------------------------

_PLAIN = '    return f"{sign}{units}.{rest:02d}"\n'
_READ_PLAIN = "    found = _PRICE.fullmatch(text.strip())\n"
_WRITTEN_AS = '    """Write a price as people read it: ``4.50``, ``-0.05``."""\n'
_MONEY_TESTS = "    def test_a_debt_keeps_its_sign(self) -> None:\n"
_README_AMOUNTS = "`format_cents` writes it as people read it; each reads what the other writes.\n"


def amounts(seen: Observed) -> Move:
    """A change of one line and its tests; what the checks then say about reading decides what else is needed."""
    money, tests = "till/money.py", "tests/test_money.py"
    sign = SEPARATORS[choose((seen.wish, *seen.said), _SEPARATOR_WORDS) or "comma"]
    grouping = _grouping(sign)
    named = _named_separator(sign) if seen.wants(r"separator|constant|\bname\b") else ()
    documented = _documented(sign) if seen.wants("readme") else ()
    reading = _reading(seen, sign)
    wanted = (*grouping, *reading, *named, *documented)
    paths = (money, tests, *(("README.md",) if documented else ()))
    reviewed = [
        *(["names the separator"] if named else ()),
        *(["tells about it in the README"] if documented else ()),
    ]
    summary = f"Works in the review: {' and '.join(reviewed)}." if reviewed else _amounts_summary(sign)
    return (
        seen.read(*paths)
        or seen.apply(*grouping, why="Thousands are grouped where amounts are written; the tests say how.")
        or seen.apply(*named, *documented, why="I work in what the review asks for.")
        or seen.check()
        or seen.apply(
            *reading, why="What is written cannot be read any more: reading has to allow the separator."
        )
        or seen.finish(
            summary,
            evidence=tests,
            unmade=seen.unmade(*wanted),
            answers=(
                (r"readme", "The README now says how large amounts are written and read."),
                (
                    r"separator|constant|\bname\b",
                    "The separator is `GROUP` now; reading and writing both use it.",
                ),
                (r"comma|space|apostrophe", "The separator is the one the plan asks for."),
            ),
        )
    )


def _amounts_summary(sign: str) -> str:
    return (
        f"`format_cents` groups thousands (`12{sign}345.67`), and `parse_cents` reads what it writes. "
        "Amounts below one thousand are written as before."
    )


def _grouping(sign: str) -> tuple[Edit, ...]:
    money, tests = "till/money.py", "tests/test_money.py"
    grouped = (
        '    grouped = f"{units:,}"' + (f'.replace(",", {_literal(sign)})' if sign != "," else "") + "\n"
    )
    return (
        Edit(
            path=money,
            old=_PLAIN,
            new=grouped + '    return f"{sign}{grouped}.{rest:02d}"\n',
            made="{units:,}",
        ),
        Edit(
            path=money,
            old=_WRITTEN_AS,
            new=_WRITTEN_AS.replace("``4.50``", f"``12{sign}345.67``"),
            made=f"``12{sign}345.67``",
        ),
        Edit(
            path=tests,
            old=_MONEY_TESTS,
            new=(
                "    def test_groups_thousands(self) -> None:\n"
                '        """Large amounts can be read at a glance; small ones stay as they are."""\n'
                f'        written = {{99_999: "999.99", 100_000: "1{sign}000.00", 1_234_567: "12{sign}345.67"}}\n'
                "        for cents, text in written.items():\n"
                "            with self.subTest(cents=cents):\n"
                "                self.assertEqual(text, format_cents(cents))\n\n" + _MONEY_TESTS
            ),
            made="test_groups_thousands",
        ),
    )


def _reading(seen: Observed, sign: str) -> tuple[Edit, ...]:
    """The repair, once a check shows that an amount with the separator is refused when it is read."""
    complaint = re.compile(
        rf"'-?\d+{re.escape(sign)}\d[^']*' is not a price|\"-?\d+{re.escape(sign)}\d[^\"]*\" is not a price"
    )
    if not any(complaint.search(check.output) for check in seen.red.values()):
        return ()
    new = f'    found = _PRICE.fullmatch(text.strip().replace({_literal(sign)}, ""))\n'
    return (Edit(path="till/money.py", old=_READ_PLAIN, new=new),)


def _named_separator(sign: str) -> tuple[Edit, ...]:
    """A name for the separator, put in wherever it is written out."""
    money, literal = "till/money.py", _literal(sign)
    writing = '    grouped = f"{units:,}"'
    ending = f'.replace(",", {literal})\n' if sign != "," else "\n"
    return (
        Edit(
            path=money,
            old="_PRICE = re.compile(",
            new=f"GROUP = {literal}\n_PRICE = re.compile(",
            made="GROUP = ",
        ),
        Edit(path=money, old=writing + ending, new=f'{writing}.replace(",", GROUP)\n'),
        Edit(
            path=money,
            old=f'text.strip().replace({literal}, "")',
            new='text.strip().replace(GROUP, "")',
        ),
    )


def _documented(sign: str) -> tuple[Edit, ...]:
    said = f"Thousands are grouped, as in `12{sign}345.67`; for reading they may be or not.\n"
    return (
        Edit(path="README.md", old=_README_AMOUNTS, new=_README_AMOUNTS + said, made=f"`12{sign}345.67`"),
    )


def _literal(sign: str) -> str:
    return f'"{sign}"'


# --- the discount on the receipt -----------------------------------------------------------------

_BASKET_IMPORT = "from till.basket import Basket, LineItem\n"
_TEST_IMPORT = "from till import Basket, receipt\n"
_LAST_LINES = '\n\nif __name__ == "__main__":\n'
_TOTAL_AFTER = '    rows.append(_row("Total", basket.total - off))\n'


def receipt_discount(seen: Observed) -> Move:
    """Builds on the discount that another item brought; without it there is nothing to print."""
    printed, tests, needed = "till/receipt.py", "tests/test_receipt.py", "till/discounts.py"
    move = seen.read(printed, tests, needed)
    if move is not None:
        return move
    if needed not in seen.files:
        return seen.finish(
            f"`{needed}`, which this builds on, is not there.", evidence=needed, unmade=(needed,)
        )
    shown = _shown_discount()
    saved = _shown_saving() if seen.wants(r"\bsaved?\b|savings?") else ()
    summary = (
        "`receipt` takes a discount, prints what it takes off in a row of its own, and the total after it."
        if not saved
        else "The receipt ends with what was saved, if something was."
    )
    return (
        seen.apply(*shown, why="The discount gets a row, and the total is what is left to pay.")
        or seen.apply(*saved, why="What was saved comes last, below the total.")
        or seen.check()
        or seen.finish(
            summary,
            evidence=tests,
            unmade=seen.unmade(*shown, *saved),
            answers=((r"\bsaved?\b|savings?", "The receipt now ends with a row `You saved`."),),
        )
    )


def _shown_discount() -> tuple[Edit, ...]:
    printed = "till/receipt.py"
    return (
        Edit(path=printed, old=_BASKET_IMPORT, new=f"{_BASKET_IMPORT}from till.discounts import Discount\n"),
        Edit(
            path=printed,
            old=(
                "def receipt(basket: Basket) -> str:\n"
                '    """Print a basket: a row for each line, a rule, the total."""\n'
            ),
            new=(
                "def receipt(basket: Basket, discount: Discount | None = None) -> str:\n"
                '    """Print a basket: a row for each line, what is taken off, a rule, the total."""\n'
            ),
            made="discount: Discount | None",
        ),
        Edit(
            path=printed,
            old='    rows.append("-" * WIDTH)\n    rows.append(_row("Total", basket.total))\n',
            new=(
                "    off = discount.off(basket.total) if discount else 0\n"
                "    if discount:\n"
                '        rows.append(_row(f"{discount.name}, {discount.percent} % off", -off))\n'
                '    rows.append("-" * WIDTH)\n' + _TOTAL_AFTER
            ),
            made="off = discount.off(",
        ),
        *_tested(
            "Discounts",
            "What is taken off is shown.",
            "    def test_the_discount_has_a_row(self) -> None:\n"
            '        """Its name, its percentage and the amount stand above the rule, the rest to pay below it."""\n'
            '        rows = receipt(shopping(), Discount("Regulars", 10)).splitlines()\n'
            '        self.assertEqual(["Regulars, 10 % off", "-0.68"], rows[2].rsplit(None, 1))\n'
            '        self.assertEqual(["Total", "6.12"], rows[4].split())\n',
        ),
    )


def _tested(name: str, says: str, body: str) -> tuple[Edit, ...]:
    tests = "tests/test_receipt.py"
    case = f'\n\nclass {name}(unittest.TestCase):\n    """{says}"""\n\n{body}'
    return (
        Edit(path=tests, old=_TEST_IMPORT, new="from till import Basket, Discount, receipt\n"),
        Edit(path=tests, old=_LAST_LINES, new=f"{case}{_LAST_LINES}", made=f"class {name}("),
    )


def _shown_saving() -> tuple[Edit, ...]:
    return (
        Edit(
            path="till/receipt.py",
            old=_TOTAL_AFTER,
            new=f'{_TOTAL_AFTER}    if off:\n        rows.append(_row("You saved", off))\n',
        ),
        *_tested(
            "Savings",
            "Customers like to know.",
            "    def test_what_was_saved_comes_last(self) -> None:\n"
            '        """The last row says how much was saved."""\n'
            '        last = receipt(shopping(), Discount("Regulars", 10)).splitlines()[-1]\n'
            '        self.assertEqual(["You saved", "0.68"], last.rsplit(None, 1)[0:1] + last.split()[-1:])\n\n'
            "    def test_nothing_saved_is_not_mentioned(self) -> None:\n"
            '        """A discount of nothing has no such row."""\n'
            '        self.assertNotIn("saved", receipt(shopping(), Discount("Regulars", 0)))\n',
        ),
    )


# --- which recipe --------------------------------------------------------------------------------

Recipe = Callable[[Observed], Move]

_RECIPES: tuple[tuple[str, str, Recipe], ...] = (
    (r"receipt\b.*discount|discount\b.*receipt", "till/receipt.py", receipt_discount),
    (r"thousand", "till/money.py", amounts),
    (r"discount", "till/basket.py", discounts),
)


def recipe_for(seen: Observed) -> Recipe | None:
    """The recipe for what this work asks for, if the repository has what it is about."""
    title = seen.item.title if seen.item else seen.summary
    for text in (title, seen.wish):
        for pattern, path, recipe in _RECIPES:
            if path in seen.listing and re.search(pattern, text, re.IGNORECASE | re.DOTALL):
                return recipe
    return None
