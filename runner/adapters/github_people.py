"""Who somebody on GitHub is to us: ourselves, a person who may push, or neither. Asked once per run each."""

from __future__ import annotations

from collections.abc import Collection

from runner.adapters.github_api import GitHubApi, shape
from runner.adapters.github_records import GHOST, Author
from runner.adapters.http import segment
from runner.errors import ConfigError, NotFound

_WRITERS = frozenset({"admin", "maintain", "write"})
_VIEWER = "query { viewer { login } }"


class People:
    """The people of one repository, as one token sees them; ``accounts`` are further logins of ours."""

    def __init__(self, api: GitHubApi, *, accounts: Collection[str] = ()) -> None:
        self._api = api
        self._accounts = frozenset(login.casefold() for login in accounts)
        self._login: str | None = None
        self._writers: dict[str, bool] = {}

    def me(self) -> str:
        """Whose token this is. GITHUB_TOKEN is refused ``GET /user``, so GraphQL is asked first."""
        if self._login is None:
            try:
                data = self._api.graphql(_VIEWER, {})
                with shape():
                    self._login = str(data["viewer"]["login"])
            except (ConfigError, NotFound):
                user = self._api.user()
                with shape():
                    self._login = str(user["login"])
        return self._login

    def is_ours(self, login: str) -> bool:
        """Whether what this login writes counts as ours."""
        return login.casefold() in self._accounts or login.casefold() == self.me().casefold()

    def may_write(self, login: str) -> bool:
        """Whether this person may push to the repository; apps are no persons."""
        if login.endswith("[bot]") or login == GHOST or not login:
            return False
        key = login.casefold()
        if key not in self._writers:
            self._writers[key] = self._permission(login) in _WRITERS
        return self._writers[key]

    def can_write(self, author: Author) -> bool:
        """Whether an author is a person who may push; deleted accounts and apps never may."""
        return author.is_person and self.may_write(author.login)

    def _permission(self, login: str) -> str:
        try:
            data = self._api.get(f"/collaborators/{segment(login)}/permission").mapping()
        except NotFound:
            return "none"
        with shape():
            return str(data["permission"])
