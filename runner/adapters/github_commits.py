"""Publishing one commit through GitHub's git data API, for repositories that require signed commits.

GitHub signs a commit made this way with an app's token, because author, committer and date are left to it: the
same input gives another commit each time. The branch moves forward only. GitHub compares with what the branch
holds at that moment, we compare with what it should hold just before: a person's commit is never dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from runner.adapters.git_failures import moved, refused_push
from runner.adapters.github import GitHubForge
from runner.adapters.github_api import GitHubApi, quoted_path, shape
from runner.adapters.http import HttpClient, segment
from runner.adapters.http_failures import BadRequest, Forbidden, ServiceConflict
from runner.core.changes import Base
from runner.core.work import FileChange
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Refused

_Files = Mapping[str, tuple[str, str]]


class ApiPublisher:
    """``ports.Publisher`` without git: blobs, a tree, a commit and a ref over REST."""

    def __init__(self, http: HttpClient, forge: GitHubForge, *, repository: str) -> None:
        self._api = GitHubApi(http, repository=repository)
        self._forge = forge

    def base(self, start: str, paths: Sequence[str]) -> Base:
        """What a commit holds: every path with its mode, and the contents of those of ``paths`` that exist."""
        files = self._files(start)
        contents = {
            path: self._blob(files[path][1])
            for path in paths
            if path in files and files[path][0].startswith("100")
        }
        return Base(modes={path: mode for path, (mode, _) in files.items()}, contents=contents)

    def publish(
        self,
        *,
        branch: str,
        start: str,
        expected: str | None,
        changes: Sequence[FileChange],
        message: str,
        when: datetime | None = None,  # noqa: ARG002 - GitHub signs only commits that it dates itself
    ) -> str:
        """Commit ``changes`` on top of ``start`` and move ``branch`` from ``expected`` (``None``: absent) to it.

        MovedUnderUs when the branch is elsewhere, Refused when rules decline, Conflict when there is nothing to
        commit or commits on the branch would be lost, Ambiguous when nobody can tell.
        """
        there = self._forge.head(branch)
        if there != expected:
            raise moved(branch, expected=expected, there=there)
        if expected is not None:
            self._check_descent(start=start, expected=expected)
        tree = self._tree(start, changes)
        commit = self._create("commits", {"message": message, "tree": tree, "parents": [start]})
        self._move(branch, expected=expected, commit=commit)
        return commit

    def _check_descent(self, *, start: str, expected: str) -> None:
        if start != expected and self._forge.is_ahead(expected, of=start):
            raise Conflict(
                f"The new commit would not contain {expected[:12]}, which is on the branch.",
                remedy="Start from the head of the branch: commits on it are never overwritten.",
            )

    def _tree(self, start: str, changes: Sequence[FileChange]) -> str:
        """The tree of ``start`` with exactly these changes."""
        before = self._files(start)
        wanted = {change.path: self._stored(change) for change in changes}
        after = {path: file for path, file in {**before, **wanted}.items() if file is not None}
        if after == before:
            raise Conflict("The changes leave every file as it is.", remedy="There is nothing to commit.")
        entries = [
            {"path": path, "mode": file[0], "type": "blob", "sha": file[1]}
            if file is not None
            else {"path": path, "mode": "100644", "type": "blob", "sha": None}
            for path, file in wanted.items()
            # GitHub refuses to delete what is not there.
            if file is not None or path in before
        ]
        tree = self._create("trees", {"base_tree": start, "tree": entries})
        if self._files(tree) != after:
            raise Conflict(
                "GitHub made other files of the changes than they say.",
                remedy="A file and a folder of the same name probably collide; choose another path.",
            )
        return tree

    def _stored(self, change: FileChange) -> tuple[str, str] | None:
        if change.content is None:
            return None
        content = base64.b64encode(change.content).decode("ascii")
        return change.mode, self._create("blobs", {"content": content, "encoding": "base64"})

    def _files(self, name: str) -> dict[str, tuple[str, str]]:
        data = self._api.get(f"/git/trees/{segment(name)}", recursive="1").mapping()
        with shape():
            if data["truncated"]:
                raise ConfigError(
                    "The repository has too many files for `commits: api`.", remedy="Use `commits: push`."
                )
            return {
                entry["path"]: (entry["mode"], entry["sha"])
                for entry in data["tree"]
                if entry["type"] != "tree"
            }

    def _blob(self, sha: str) -> bytes:
        return self._api.raw(f"/git/blobs/{segment(sha)}").body

    def _create(self, kind: str, body: Mapping[str, Any]) -> str:
        """Store an object. Nothing refers to it yet, so a repeated one is only garbage."""
        try:
            data = self._api.send("POST", f"/git/{kind}", dict(body), idempotent=True).mapping()
        except NotFound as exc:
            raise ConfigError(
                "The GitHub token may not write to the repository.",
                remedy="Publishing needs `contents: write`.",
                detail=exc.detail,
            ) from exc
        except ServiceConflict as exc:
            raise Refused(exc.summary, remedy="Choose another path.", detail=exc.detail) from exc
        with shape():
            return str(data["sha"])

    def _move(self, branch: str, *, expected: str | None, commit: str) -> None:
        """Move the ref; what a lost answer left behind is read, never assumed."""
        for is_last in (False, True):
            try:
                self._send_move(branch, expected=expected, commit=commit)
                return
            except Ambiguous:
                there = self._forge.head(branch)
                if there == commit:
                    return
                if there != expected:
                    raise moved(branch, expected=expected, there=there) from None
                if is_last:
                    raise
            except (ServiceConflict, BadRequest, Forbidden) as exc:
                self._explain(branch, expected=expected, exc=exc)
                raise

    def _send_move(self, branch: str, *, expected: str | None, commit: str) -> None:
        body: dict[str, object]
        if expected is None:
            method, path = "POST", "/git/refs"
            body = {"ref": f"refs/heads/{branch}", "sha": commit}
        else:
            method, path = "PATCH", f"/git/refs/heads/{quoted_path(branch)}"
            body = {"sha": commit, "force": False}
        self._api.send(method, path, body, idempotent=False)

    def _explain(
        self, branch: str, *, expected: str | None, exc: ServiceConflict | BadRequest | Forbidden
    ) -> None:
        """Raise what a refusal means where it means more than its words."""
        there = self._forge.head(branch)
        if there != expected:
            raise moved(branch, expected=expected, there=there) from exc
        if (refusal := refused_push(exc.summary)) is not None:
            raise refusal from exc
