"""``ai-runner demo --repo PATH --ticket FILE``: the reader's own ticket on the reader's own repository, on loopback.

The repository is only read: its present commit is copied. The configuration of the rehearsal lies on a branch of its
own, so that the branches to look at hold nothing but history and work. The reader is approver and reviewer at once,
on the terminal, or nobody is and everything is accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import requests
from werkzeug.wrappers import Request, Response

from runner.adapters.adf import AdfTooLarge, read, to_adf
from runner.core.markers import without_hidden
from runner.core.redact import clean
from runner.errors import ConfigError
from runner.sandbox.account import account_of
from runner.sandbox.actions import WorkflowRun
from runner.sandbox.brain import StoryBrain
from runner.sandbox.people import Refused
from runner.sandbox.reader import (
    SETTINGS_BRANCH,
    Plan,
    Source,
    Ticket,
    configure,
    copy_history,
    read_source,
    read_ticket,
    real_settings,
    seed_for,
)
from runner.sandbox.world import CONFIG, PROJECT, World, open_world

Json = dict[str, Any]
SHOWN = 20_000
# How often nobody's answer is given to questions about one ticket before the rehearsal ends.
MAX_AUTOMATIC_ANSWERS = 2
AUTOMATIC_ANSWER = (
    "There is nobody to ask in this rehearsal. Please choose what you would recommend, and say in the pull request "
    "what you chose and why."
)
# GitHub does not show comments of a text either.
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


class Voice(Protocol):
    """Tells what happens."""

    def say(self, who: str, text: str) -> None:
        """One line."""
        ...

    def show(self, text: str) -> None:
        """A text to read, as it stands."""
        ...

    def follow(self, run: WorkflowRun, world: World) -> None:
        """What became of a run."""
        ...


class Judge(Protocol):
    """Approver and reviewer."""

    is_automatic: bool

    def choose(self, question: str, options: Sequence[str]) -> str:
        """One of ``options``; the first is the one that lets the work go on."""
        ...

    def write(self, what: str) -> str:
        """A text of their own."""
        ...


# --- the terminal -----------------------------------------------------------------------------------


class Terminal:
    """The reader, asked on stderr, answering on stdin. The end of the input means stop."""

    is_automatic = False

    def choose(self, question: str, options: Sequence[str]) -> str:
        """Ask until the answer begins like exactly one option."""
        while True:
            answer = self._line(f"{question} [{' / '.join(options)}] ")
            if answer is None:
                return "stop"
            found = [one for one in options if answer and one.startswith(answer.strip().lower())]
            if len(found) == 1:
                return found[0]

    def write(self, what: str) -> str:
        """One line of text, not empty; what was typed before the input ended."""
        while True:
            text = self._line(f"{what}: ")
            if text is None or text.strip():
                return (text or "").strip()

    def _line(self, prompt: str) -> str | None:
        print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201 - a question to the reader
        line = sys.stdin.readline()
        return line.removesuffix("\n") if line else None


class Automatic:
    """Accepts everything."""

    is_automatic = True

    def choose(self, question: str, options: Sequence[str]) -> str:  # noqa: ARG002 - every question has one answer
        """The first option."""
        return options[0]

    def write(self, what: str) -> str:  # noqa: ARG002 - as above
        """What nobody would say."""
        return AUTOMATIC_ANSWER


# --- the rehearsal ----------------------------------------------------------------------------------


class Rehearsal:
    """Goes from the ticket to merged pull requests, with the judge's word at each step."""

    def __init__(self, world: World, judge: Judge, voice: Voice, *, base: str) -> None:
        self.world = world
        self.judge = judge
        self.voice = voice
        self.base = base
        self.key = ""
        self.is_stopped = False
        self._answered: Counter[str] = Counter()
        self._shown: set[int] = set()

    def play(self, ticket: Ticket) -> None:
        """Write the ticket, then do whatever is due until nothing is."""
        rita = self.world.people["rita"]
        try:
            description: str | Json = to_adf(ticket.description) if ticket.description else ""
            self.key = rita.create_ticket(ticket.summary, description, project=PROJECT)
        except (AdfTooLarge, Refused) as exc:
            raise ConfigError("The embedded Jira does not take this ticket.", remedy=str(exc)[:500]) from exc
        self.voice.say("", f"{self.key} “{ticket.summary}” is assigned to the AI Runner")
        rita.assign(self.key, self.world.bot)
        self.world.settle()
        while not self.is_stopped and self._go_on():
            pass

    def _go_on(self) -> bool:
        """The next thing that a person must do; False when there is none."""
        rita = self.world.people["rita"]
        if rita.status(self.key) == "Plan Review":
            return self._judge_plan()
        blocked = [key for key in (self.key, *self.children()) if rita.status(key) == "Blocked"]
        if blocked:
            return self._unblock(blocked[0])
        ready = [
            pull for pull in self.pulls() if pull["state"] == "open" and pull["base"]["ref"] == self.base
        ]
        return self._judge_pull(min(ready, key=lambda pull: int(pull["number"]))) if ready else False

    def _judge_plan(self) -> bool:
        ada = self.world.people["ada"]
        self.voice.show(self.last_words(self.key))
        answer = self.judge.choose(
            f"{self.key}: what do you say to the plan?", ("approve", "comment", "stop")
        )
        if answer == "comment":
            ada.comment(self.key, to_adf(self.judge.write("Your comment")))
            ada.assign(self.key, self.world.bot)
        elif answer == "approve":
            self.voice.say("", f"The plan is approved: {self.key} moves to In Progress")
            ada.move(self.key, "In Progress")
        return self._followed(answer)

    def _unblock(self, key: str) -> bool:
        """Work that cannot go on by itself: a question, or an end without a result."""
        rita = self.world.people["rita"]
        self.voice.show(self.last_words(key))
        runs = [run for run in self.world.actions.runs if run.key == key and not run.repeat]
        is_question = bool(runs) and runs[-1].outcome == "asked"
        is_hopeless = not is_question or self._answered[key] >= MAX_AUTOMATIC_ANSWERS
        if self.judge.is_automatic and is_hopeless:
            self.is_stopped = True
            return False
        options = ("answer", "stop") if is_question else ("retry", "stop")
        answer = self.judge.choose(f"{key} is Blocked.", options)
        if answer != "stop":
            self._answered[key] += 1
            what = "Your answer" if is_question else "What to tell the runner"
            rita.comment(key, to_adf(self.judge.write(what)))
            rita.assign(key, self.world.bot)
        return self._followed(answer)

    def _judge_pull(self, pull: Mapping[str, Any]) -> bool:
        number = int(pull["number"])
        self._shown.add(number)
        self.voice.show(self.pull_text(pull))
        options = ("feedback", "stop") if pull["draft"] else ("merge", "feedback", "stop")
        if pull["draft"] and self.judge.is_automatic:
            self.is_stopped = True
            return False
        answer = self.judge.choose(f"Pull request #{number}: what do you say?", options)
        if answer == "merge":
            self._merge(number)
        elif answer == "feedback":
            self.world.reviewer.review(number, "REQUEST_CHANGES", self.judge.write("What to change"))
            self.world.actions.sweep()
        return self._followed(answer)

    def _merge(self, number: int) -> None:
        try:
            self.world.reviewer.review(number, "APPROVE", "Thank you.")
            self.world.reviewer.merge(number)
        except requests.HTTPError as exc:
            self.voice.say("", f"Pull request #{number} could not be merged: {exc.response.text[:300]}")
            self.is_stopped = True
        else:
            self.voice.say("", f"Pull request #{number} is merged")

    def _followed(self, answer: str) -> bool:
        self.is_stopped = self.is_stopped or answer == "stop"
        if not self.is_stopped:
            self.world.settle()
        return not self.is_stopped

    def children(self) -> list[str]:
        """Keys of the sub-tasks."""
        found = self.world.people["rita"].read(self.key)["fields"]["subtasks"]
        return [str(child["key"]) for child in found]

    def pulls(self) -> list[Json]:
        """Every pull request, oldest first."""
        return self.world.reviewer.pulls()

    def last_words(self, key: str) -> str:
        """The runner's newest comment with more than a line of state, for reading."""
        rita = self.world.people["rita"]
        ours = [one for one in rita.comments(key) if one["author"]["accountId"] == self.world.bot]
        texts = [clean(self._named(read(one["body"]).body_markdown), SHOWN) for one in ours]
        return max(texts[-2:], key=len, default=f"{key} has no comment of the runner.")

    def _named(self, text: str) -> str:
        """People by name: only Jira shows who an account is."""
        for account, user in self.world.jira.site.users.items():
            text = text.replace(f"[~accountid:{account}]", user.display_name)
        return text

    def unseen(self) -> list[Json]:
        """Open pull requests that nobody was shown, such as those stacked on one that was not merged."""
        return [
            one for one in self.pulls() if one["state"] == "open" and int(one["number"]) not in self._shown
        ]

    def pull_text(self, pull: Mapping[str, Any]) -> str:
        """A pull request as a reviewer sees it first: title, text, and what changed by file."""
        kind = "draft pull request" if pull["draft"] else "pull request"
        state = "merged" if pull["merged_at"] else str(pull["state"])
        head = f"--- {kind} #{pull['number']} ({state}): {pull['title']}"
        body = _COMMENT.sub("", without_hidden(str(pull["body"] or ""))).strip()
        stat = self.world.github.hub.git.git(
            "diff", "--stat=100", f"{pull['base']['sha']}...{pull['head']['sha']}"
        )
        return clean(f"{head}\n\n{body}\n\n{stat}\n", SHOWN)


def rehearse(arguments: argparse.Namespace, voice: Voice) -> tuple[Json, str]:
    """Play it; the account of it, and what went wrong, empty if nothing did. ConfigError before anything starts."""
    source, ticket = read_source(arguments.repo), read_ticket(arguments.ticket)
    plan = configure(
        source, provider=arguments.provider, is_real=arguments.real_model, sequence=arguments.sequence
    )
    settings = real_settings(plan.providers, os.environ) if arguments.real_model else {}
    folder = _folder(arguments.keep)
    bundle = copy_history(source, folder / "source.bundle")
    _introduce(source, plan, voice, is_real=arguments.real_model)
    judge: Judge = Automatic() if arguments.auto or not sys.stdin.isatty() else Terminal()
    with open_world(
        folder,
        brain=StoryBrain(),
        via=arguments.via,
        twice=arguments.twice,
        seed=seed_for(source, plan, bundle),
        default_branch=SETTINGS_BRANCH,
        settings=settings,
    ) as world:
        bundle.unlink()
        sent = Sent(folder / "sent")
        world.models.observers.append(sent.keep)
        world.actions.observers.append(lambda run: voice.follow(run, world))
        rehearsal = Rehearsal(world, judge, voice, base=source.branch)
        problem = _play(rehearsal, ticket, voice)
        account = _account(world, rehearsal, is_real=arguments.real_model)
        if not problem and not rehearsal.is_stopped and account["parent"]["status"] != "Done":
            voice.show(rehearsal.last_words(rehearsal.key))
            problem = f"{rehearsal.key} is {account['parent']['status']}, not Done, and nothing more is due"
        if arguments.record is not None:
            world.recorder.write(arguments.record)
        _close(rehearsal, account, sent, voice, folder=folder, is_real=arguments.real_model, problem=problem)
    return account, problem


def _play(rehearsal: Rehearsal, ticket: Ticket, voice: Voice) -> str:
    try:
        rehearsal.play(ticket)
    except TimeoutError as exc:
        voice.say("", f"The rehearsal broke off: {exc}")
        return str(exc)
    except KeyboardInterrupt:
        rehearsal.is_stopped = True
        voice.say("", "Stopped; what was made so far is kept")
    return ""


def _folder(keep: Path | None) -> Path:
    """Where everything stays: what a real model made is never thrown away."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="ai-runner-rehearsal-")).resolve()
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(f"`{keep}` is not empty.", remedy="Give `--keep` a new or an empty folder.")
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _introduce(source: Source, plan: Plan, voice: Voice, *, is_real: bool) -> None:
    voice.say("", f"Rehearsal on a copy of {source.path} at {source.head[:12]}; nothing is written there")
    if source.is_dirty:
        voice.say("", "Changes that are not committed are left out: the work starts from HEAD")
    if source.config is None:
        voice.say("", f"There is no {CONFIG}: defaults hold, and no checks are run")
    else:
        names = ", ".join(plan.replaced) or "nothing"
        voice.say("", f"Your {CONFIG} holds; replaced for the rehearsal: {names}")
        if not plan.policy.checks.commands:
            voice.say("", "It names no checks, so none are run")
    if is_real:
        models = plan.policy.models
        names = ", ".join(dict.fromkeys(one.model for one in (models.plan, models.implement, models.revise)))
        voice.say(
            "",
            f"The real model is asked ({names}): its calls cost money and leave this machine, nothing else does",
        )
    else:
        voice.say(
            "", "A scripted model answers: it reads, plans and writes notes, and nothing leaves this machine"
        )


class Sent:
    """Keeps each request to the scripted model, as a real one would have received it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.size = 0

    def keep(self, request: Request, _: Response) -> None:
        """Write one request's body to a file of its own."""
        body = request.get_data()
        self.count += 1
        self.size += len(body)
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{self.count:03}.json").write_bytes(body)


def _account(world: World, rehearsal: Rehearsal, *, is_real: bool) -> Json:
    account = account_of(world, rehearsal.key)
    if is_real:
        told = [run for run in world.actions.runs if run.conclusion not in ("cancelled", "skipped")]
        for entry, run in zip(account["runs"], told, strict=True):
            entry["model_calls"] = _calls_of(run)
    return account


def _calls_of(run: WorkflowRun) -> int | None:
    """How often a run asked a real model, by its own count; None where its files are gone."""
    path = run.folder / "temp" / "ai-runner-work" / "result.json"
    if path.is_file():
        return int(json.loads(path.read_text(encoding="utf-8"))["calls"])
    return 0 if (run.folder / "temp").is_dir() else None


def _close(
    rehearsal: Rehearsal,
    account: Json,
    sent: Sent,
    voice: Voice,
    *,
    folder: Path,
    is_real: bool,
    problem: str,
) -> None:
    """The last words: what there is to look at, and how to get it."""
    for pull in rehearsal.unseen():
        voice.show(rehearsal.pull_text(pull))
    pulls = rehearsal.pulls()
    texts = folder / "pull-requests"
    texts.mkdir()
    for pull in pulls:
        (texts / f"{pull['number']}.md").write_text(rehearsal.pull_text(pull), encoding="utf-8")
    runs = [run for run in account["runs"] if not run["repeat"]]
    cost = sum(run["cost_usd"] or 0 for run in runs)
    calls = sum(run["model_calls"] or 0 for run in runs)
    whose = "calls of the real model" if is_real else "scripted model calls"
    end = f"This did not end as it should: {problem}" if problem else "The rehearsal is over"
    states = ", ".join(
        f"{one['key']} {one['status']}" for one in (account["parent"], *account["sub_tasks"]) if one["key"]
    )
    voice.say("", f"{end}: {states}; {len(runs)} runs, {calls} {whose} (US${cost:.2f} at list prices)")
    if sent.count:
        voice.say(
            "", f"What a model would be sent: {sent.folder} ({sent.count} requests, {sent.size:,} bytes)"
        )
    voice.say(
        "",
        f"Everything is in {folder}: `runs/*/log.txt` (each run's log), `runs/*/summary.md`, the repository",
    )
    repository = account["repository"]
    for pull in pulls:
        what = f"#{pull['number']} ({'merged' if pull['merged_at'] else pull['state']}) {pull['title']}"
        voice.say(
            "", f"{what}: its text is in {texts / str(pull['number'])}.md, its branch comes into a clone with"
        )
        voice.say("", f"   git fetch {shlex.quote(repository)} {pull['head']['ref']}")
    if any(pull["merged_at"] for pull in pulls):
        voice.say("", "All that was merged comes with, and `git diff HEAD...FETCH_HEAD` shows it:")
        voice.say("", f"   git fetch {shlex.quote(repository)} {rehearsal.base}")
