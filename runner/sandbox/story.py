"""The story that the demo plays: what people do on their side of Jira and GitHub, and what must be true after it.

Nothing here reaches into the runner: people act over HTTP, the Automation rules and the workflow do the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.sandbox import recipes
from runner.sandbox.world import PROJECT, World

Say = Callable[[str, str], None]
# The plan items that the two rounds of feedback are about.
FEEDBACK_ITEM, REVIEW_ITEM = "receipt-discount", "amounts"


class StoryError(RuntimeError):
    """The world is not as the story expects it by now."""


class Story:
    """Rita asks, Ada approves, Rey reviews."""

    def __init__(self, world: World, say: Say) -> None:
        self.world = world
        self.say = say
        self.key = ""

    def play(self) -> None:
        """All of it, in order."""
        self.ask_for_work()
        self.have_the_plan_revised()
        self.approve()
        self.answer_the_question()
        self.give_feedback_in_jira()
        self.review_on_github()
        self.merge_everything()
        self._expect(self.world.people["rita"].status(self.key) == "Done", "the parent is Done")

    def ask_for_work(self) -> None:
        """Rita writes a ticket and assigns it to the runner."""
        rita = self.world.people["rita"]
        self.key = rita.create_ticket(recipes.TICKET_SUMMARY, recipes.TICKET_DESCRIPTION, project=PROJECT)
        self._tell("rita", f"writes {self.key} “{recipes.TICKET_SUMMARY}” and assigns it to the AI Runner")
        rita.assign(self.key, self.world.bot)
        self.world.settle()
        self._expect(rita.status(self.key) == "Plan Review", f"{self.key} waits for approval in Plan Review")

    def have_the_plan_revised(self) -> None:
        """Ada comments on the plan and gives the ticket back."""
        ada = self.world.people["ada"]
        self._tell("ada", f"reads the plan and comments: “{recipes.PLAN_COMMENT}”")
        ada.comment(self.key, recipes.PLAN_COMMENT)
        ada.assign(self.key, self.world.bot)
        self.world.settle()
        self._expect(len(self._comments(self.key, "Plan, version 2")) == 1, "the plan has a second version")

    def approve(self) -> None:
        """Ada moves the ticket to In Progress; sub-tasks are made and work starts."""
        ada = self.world.people["ada"]
        self._tell("ada", f"is content and moves {self.key} to In Progress")
        ada.move(self.key, "In Progress")
        self.world.settle()
        self._expect(len(self.sub_tasks()) >= 3, "there are at least three sub-tasks")

    def answer_the_question(self) -> None:
        """One sub-task asked something; Rita answers and gives it back."""
        rita = self.world.people["rita"]
        asked = [key for key in self.sub_tasks().values() if rita.status(key) == "Blocked"]
        self._expect(len(asked) == 1, "one sub-task waits for an answer")
        self._tell("rita", f"answers the question on {asked[0]}: “{recipes.QUESTION_ANSWER}”")
        rita.comment(asked[0], recipes.QUESTION_ANSWER)
        rita.assign(asked[0], self.world.bot)
        self.world.settle()
        states = {key: rita.status(key) for key in self.sub_tasks().values()}
        self._expect(
            all(state == "In Testing" for state in states.values()),
            f"all sub-tasks wait for review: {states}",
        )

    def give_feedback_in_jira(self) -> None:
        """Rey comments on one sub-task in Jira and gives it back."""
        rey = self.world.people["rey"]
        key = self.sub_tasks()[FEEDBACK_ITEM]
        self._tell("rey", f"tries {key} and comments in Jira: “{recipes.JIRA_FEEDBACK}”")
        rey.comment(key, recipes.JIRA_FEEDBACK)
        rey.assign(key, self.world.bot)
        self.world.settle()
        self._expect(rey.status(key) == "In Testing", f"{key} is back in testing")

    def review_on_github(self) -> None:
        """Rey requests changes on a pull request, with an inline comment; the sweep notices."""
        key = self.sub_tasks()[REVIEW_ITEM]
        number = self._pull_of(key)["number"]
        path, line_text, comment = recipes.REVIEW_INLINE
        line = self._line(f"ai/{key}", path, line_text)
        self._tell("rey", f"requests changes on pull request #{number}, at {path}:{line}: “{comment}”")
        self.world.reviewer.review(
            number, "REQUEST_CHANGES", recipes.REVIEW_BODY, inline=[(path, line, comment)]
        )
        self.say("", "The scheduled sweep looks for tickets that wait")
        self.world.actions.sweep()
        self.world.settle()
        answers = [one for thread in self.world.reviewer.threads(number) for one in _comments_of(thread)]
        self._expect(len(answers) >= 2, f"the inline comment on #{number} is answered: {answers}")

    def merge_everything(self) -> None:
        """Rey merges each pull request whose target is the main branch, until none is open."""
        for _ in range(20):
            ready = [
                pull for pull in self._pulls() if pull["state"] == "open" and pull["base"]["ref"] == "main"
            ]
            if not ready:
                break
            number = min(pull["number"] for pull in ready)
            self._tell("rey", f"approves and merges pull request #{number}")
            self.world.reviewer.review(number, "APPROVE", "Thank you.")
            self.world.reviewer.merge(number)
            self.world.settle()
        left = [pull["number"] for pull in self._pulls() if pull["state"] == "open"]
        self._expect(not left, f"no pull request is open any more: {left}")

    def sub_tasks(self) -> dict[str, str]:
        """Keys of the sub-tasks by the plan item they stand for."""
        rita = self.world.people["rita"]
        found: dict[str, str] = {}
        for child in rita.read(self.key)["fields"]["subtasks"]:
            labels = rita.read(child["key"])["fields"]["labels"]
            found |= {
                one.removeprefix("ai-item-"): child["key"] for one in labels if one.startswith("ai-item-")
            }
        return found

    def _pulls(self) -> list[dict[str, Any]]:
        return self.world.reviewer.pulls()

    def _pull_of(self, key: str) -> dict[str, Any]:
        found = [pull for pull in self._pulls() if pull["head"]["ref"] == f"ai/{key}"]
        self._expect(len(found) == 1, f"{key} has one pull request")
        return found[0]

    def _line(self, branch: str, path: str, text: str) -> int:
        content = self.world.github.files(branch)[path].decode()
        lines = [at for at, line in enumerate(content.splitlines(), 1) if text in line]
        self._expect(bool(lines), f"{path} holds “{text}”")
        return lines[0]

    def _comments(self, key: str, heading: str) -> list[str]:
        texts = [str(comment["body"]) for comment in self.world.people["rita"].comments(key)]
        return [text for text in texts if heading in text]

    def _tell(self, name: str, what: str) -> None:
        self.say(self.world.people[name].name.split()[0], what)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise StoryError(f"expected that {what}")


def _comments_of(thread: Any) -> list[Any]:
    comments = thread["comments"]
    return list(comments["nodes"] if isinstance(comments, dict) else comments)
