"""The part of JQL that people and the runner write, parsed and evaluated over stored tickets.

Unknown fields, functions and values are refused with Jira's kind of message: a query that is
silently empty would hide a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runner.sandbox.jira.records import Issue, JiraError
from runner.sandbox.jira.state import JiraSite

Predicate = Callable[[Issue], bool]
TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
        |(?P<sign><=|>=|!=|=|<|>|\(|\)|,)
        |(?P<word>[^\s()=<>!,"']+))""",
    re.VERBOSE,
)
RESERVED = ".;?|*/%^$#@[]{}\\"
FIELDS = {
    "project": "project",
    "assignee": "assignee",
    "reporter": "reporter",
    "status": "status",
    "statuscategory": "statusCategory",
    "labels": "labels",
    "parent": "parent",
    "key": "key",
    "issuekey": "key",
    "id": "key",
    "issue": "key",
    "issuetype": "issuetype",
    "type": "issuetype",
    "updated": "updated",
    "created": "created",
    "summary": "summary",
    "resolution": "resolution",
}
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
CATEGORY_WORDS = {
    "new": "new",
    "to do": "new",
    "indeterminate": "indeterminate",
    "in progress": "indeterminate",
    "done": "done",
}


@dataclass(frozen=True, kw_only=True)
class Token:
    """A piece of a query; a quoted text is never a keyword."""

    text: str
    is_quoted: bool = False

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these keywords or signs, in any case."""
        return not self.is_quoted and self.text.lower() in words


@dataclass(frozen=True, kw_only=True)
class Query:
    """A parsed query: which tickets match, and in which order they come."""

    matches: Predicate
    order: tuple[tuple[str, bool], ...]
    is_bounded: bool

    def select(self, issues: Iterable[Issue]) -> list[Issue]:
        """The matching tickets, ordered; newest first where the query does not say."""
        found = sorted((one for one in issues if self.matches(one)), key=_number, reverse=not self.order)
        for name, is_descending in reversed(self.order):
            found.sort(key=lambda issue: _sort_key(issue, name), reverse=is_descending)
        return found


def parse(text: str, *, site: JiraSite, account: str) -> Query:
    """Parse a query on behalf of an account; JiraError 400 says what is wrong with it."""
    return _Parser(text, site=site, account=account).query()


class _Parser:
    def __init__(self, text: str, *, site: JiraSite, account: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.site = site
        self.account = account

    def query(self) -> Query:
        is_bounded = bool(self.tokens) and not self._peek("order")
        matches: Predicate = self._either() if is_bounded else lambda _issue: True
        order = self._order()
        if self.at < len(self.tokens):
            raise _error(f"Expecting operator but got '{self.tokens[self.at].text}'.")
        return Query(matches=matches, order=order, is_bounded=is_bounded)

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return lambda issue: any(part(issue) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return lambda issue: all(part(issue) for part in parts)

    def _one(self) -> Predicate:
        if self._take("not") or self._take("!"):
            inner = self._one()
            return lambda issue: not inner(issue)
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        return self._clause()

    def _clause(self) -> Predicate:
        token = self._next()
        name = FIELDS.get(token.text.lower())
        if name is None:
            raise _error(f"Field '{token.text}' does not exist or you do not have permission to view it.")
        if name in ("updated", "created"):
            return self._time(name)
        if name == "summary":
            raise _error("The operator used with field 'summary' is not supported by this sandbox.")
        is_negative, values = self._comparison(name)
        wanted = [self._value(name, value) for value in values]
        return _membership(name, wanted, is_negative=is_negative, site=self.site)

    def _comparison(self, name: str) -> tuple[bool, list[Token | None]]:
        if self._take("="):
            return False, [self._single()]
        if self._take("!="):
            return True, [self._single()]
        if self._take("is"):
            is_negative = self._take("not")
            if not (self._take("empty") or self._take("null")):
                raise _error("The operator 'is' must be followed by EMPTY or NULL.")
            return is_negative, [None]
        is_negative = self._take("not")
        if not self._take("in"):
            raise _error(f"Expecting an operator after '{name}'.")
        self._expect("(")
        values = [self._single()]
        while self._take(","):
            values.append(self._single())
        self._expect(")")
        return is_negative, values

    def _single(self) -> Token | None:
        token = self._next()
        if token.is_word("empty", "null"):
            return None
        if token.is_word(")", "(", ","):
            raise _error(f"Expecting a value but got '{token.text}'.")
        if self._take("("):
            self._expect(")")
            if not token.is_word("currentuser"):
                raise _error(f"Unable to find JQL function '{token.text}()'.")
            return Token(text=self.account, is_quoted=True)
        return token

    def _value(self, name: str, token: Token | None) -> str | None:
        if token is None or (name == "resolution" and token.is_word("unresolved")):
            return None
        known = _known_value(name, token.text, self.site)
        if known is None:
            raise _error(f"The value '{token.text}' does not exist for the field '{name}'.")
        return known

    def _time(self, name: str) -> Predicate:
        sign = self._next().text
        if sign not in (">", ">=", "<", "<="):
            raise _error(f"The operator '{sign}' is not supported by the '{name}' field here.")
        value = self._next().text
        moment = _moment(value, self.site)
        if moment is None:
            raise _error(f"Date value '{value}' for field '{name}' is invalid.")
        compare: dict[str, Callable[[datetime], bool]] = {
            ">": lambda one: one > moment,
            ">=": lambda one: one >= moment,
            "<": lambda one: one < moment,
            "<=": lambda one: one <= moment,
        }
        test = compare[sign]
        return lambda issue: test(issue.updated if name == "updated" else issue.created)

    def _order(self) -> tuple[tuple[str, bool], ...]:
        if not self._take("order"):
            return ()
        self._expect("by")
        parts = [self._order_part()]
        while self._take(","):
            parts.append(self._order_part())
        return tuple(parts)

    def _order_part(self) -> tuple[str, bool]:
        token = self._next()
        name = FIELDS.get(token.text.lower())
        if name is None:
            raise _error(f"Not able to sort using field '{token.text}'.")
        is_descending = self._take("desc")
        if not is_descending:
            self._take("asc")
        return name, is_descending

    def _peek(self, word: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].is_word(word)

    def _take(self, word: str) -> bool:
        if self._peek(word):
            self.at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            found = self.tokens[self.at].text if self.at < len(self.tokens) else "the end"
            raise _error(f"Expecting '{word}' but got '{found}'.")

    def _next(self) -> Token:
        if self.at >= len(self.tokens):
            raise _error("The query ends too early.")
        self.at += 1
        return self.tokens[self.at - 1]


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise _error(f"The character '{text[at:].strip()[:1]}' is not expected here.")
        quoted = match["quoted"]
        if quoted is not None:
            found.append(Token(text=re.sub(r"\\(.)", r"\1", quoted[1:-1]), is_quoted=True))
        else:
            found.append(Token(text=match["sign"] or _unreserved(match["word"])))
        at = match.end()
    return found


def _unreserved(word: str) -> str:
    """A bare word; some characters need quotes around them."""
    reserved = next((one for one in word if one in RESERVED), None)
    if reserved is not None:
        raise _error(f"The character '{reserved}' is a reserved JQL character. Enclose it in a string.")
    return word


def _error(message: str) -> JiraError:
    return JiraError(400, f"Error in the JQL Query: {message}")


def _known_value(name: str, text: str, site: JiraSite) -> str | None:
    """The canonical form of a value, or ``None`` when the site does not know it."""
    low = text.lower()
    if name == "project":
        keys = {
            one: each.key
            for each in site.projects.values()
            for one in (each.key.lower(), each.id, each.name.lower())
        }
        return keys.get(low)
    if name == "status":
        names = {
            one: status.name
            for project in site.projects.values()
            for statuses in project.statuses.values()
            for status in statuses
            for one in (status.name.lower(), status.id)
        }
        return names.get(low)
    if name == "issuetype":
        types = {
            one: kind.name
            for project in site.projects.values()
            for kind in project.types.values()
            for one in (kind.name.lower(), kind.id)
        }
        return types.get(low)
    if name == "statusCategory":
        return CATEGORY_WORDS.get(low)
    if name in ("key", "parent"):
        low = site.former_keys.get(low.upper(), low)
        return next((one.key for one in site.issues.values() if low in (one.key.lower(), one.id)), None)
    if name in ("assignee", "reporter"):
        return text if text in site.users else None
    return text


def _values(issue: Issue, name: str, site: JiraSite) -> list[str]:
    """What a ticket holds in a field; nothing means EMPTY."""
    parent = site.issues.get(issue.parent_id or "")
    single = {
        "project": issue.project.key,
        "assignee": issue.assignee,
        "reporter": issue.reporter,
        "status": issue.status.name,
        "statusCategory": issue.status.category,
        "issuetype": issue.type.name,
        "key": issue.key,
        "parent": parent.key if parent else None,
        "resolution": issue.resolution,
    }
    if name == "labels":
        return list(issue.labels)
    value = single[name]
    return [] if value is None else [value]


def _membership(name: str, wanted: Sequence[str | None], *, is_negative: bool, site: JiraSite) -> Predicate:
    """``=``, ``in`` and ``is``; as in Jira, ``!=`` and ``not in`` never match a field that is empty."""
    named = {value for value in wanted if value is not None}
    takes_empty = None in wanted

    def matches(issue: Issue) -> bool:
        values = _values(issue, name, site)
        if not values:
            return takes_empty and not is_negative
        return (not named & set(values)) if is_negative else bool(named & set(values))

    return matches


def _moment(text: str, site: JiraSite) -> datetime | None:
    relative = re.fullmatch(r"([+-]?)(\d+)([mhdw])", text)
    if relative:
        span = timedelta(**{UNITS[relative[3]]: int(relative[2])})
        return site.time() - span if relative[1] == "-" else site.time() + span
    for form in ("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%d", "%Y/%m/%d"):
        try:
            return datetime.strptime(f"{text} +0000", f"{form} %z")
        except ValueError:
            continue
    return None


def _number(issue: Issue) -> int:
    return int(issue.id)


def _sort_key(issue: Issue, name: str) -> tuple[str, int]:
    if name == "updated":
        return issue.updated.isoformat(timespec="milliseconds"), 0
    if name in ("key", "created", "parent"):
        return issue.project.key if name == "key" else "", int(issue.id)
    texts = {
        "project": issue.project.key,
        "assignee": issue.assignee or "",
        "reporter": issue.reporter,
        "status": issue.status.name,
        "statusCategory": issue.status.category,
        "labels": " ".join(issue.labels),
        "issuetype": issue.type.name,
        "summary": issue.summary,
        "resolution": issue.resolution or "",
    }
    return texts[name], 0
