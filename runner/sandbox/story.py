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
MAX_STEPS = 30


class StoryError(RuntimeError):
    """The world is not as the story expects it by now."""


class Story:
    """Rita asks, Ada approves, Rey reviews."""

    def __init__(self, world: World, say: Say) -> None:
        self.world = world
        self.say = say
        self.key = ""
        self._given: set[str] = set()

    def play(self) -> None:
        """All of it, in order."""
        self.ask_for_work()
        self.have_the_plan_revised()
        self.approve()
        self.see_the_work_through()
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

    def see_the_work_through(self) -> None:
        """People do whatever is due next, until every pull request is merged.

        When something is due depends on the sequence: work that waits for merges comes later than stacked work.
        """
        steps = (
            self._answer_the_question,
            self._give_feedback_in_jira,
            self._review_on_github,
            self._merge_one,
        )
        for _ in range(MAX_STEPS):
            if not any(step() for step in steps):
                break
        left = [pull["number"] for pull in self._pulls() if pull["state"] == "open"]
        self._expect(not left, f"no pull request is open any more: {left}, sub-tasks: {self._states()}")
        self._expect(self._given == {"answer", "feedback", "review"}, f"all was said: {sorted(self._given)}")

    def _answer_the_question(self) -> bool:
        """One sub-task asked something; Rita answers and gives it back."""
        asked = [key for key, state in self._states().items() if state == "Blocked"]
        if not asked or "answer" in self._given:
            return False
        self._expect(len(asked) == 1, "one sub-task waits for an answer")
        rita = self.world.people["rita"]
        self._tell("rita", f"answers the question on {asked[0]}: “{recipes.QUESTION_ANSWER}”")
        rita.comment(asked[0], recipes.QUESTION_ANSWER)
        rita.assign(asked[0], self.world.bot)
        self._settle("answer")
        self._expect(rita.status(asked[0]) == "In Testing", f"{asked[0]} goes on from the answer")
        return True

    def _give_feedback_in_jira(self) -> bool:
        """Rey comments on one sub-task in Jira and gives it back."""
        rey, key = self.world.people["rey"], self.sub_tasks()[FEEDBACK_ITEM]
        if "feedback" in self._given or rey.status(key) != "In Testing":
            return False
        self._tell("rey", f"tries {key} and comments in Jira: “{recipes.JIRA_FEEDBACK}”")
        rey.comment(key, recipes.JIRA_FEEDBACK)
        rey.assign(key, self.world.bot)
        self._settle("feedback")
        self._expect(rey.status(key) == "In Testing", f"{key} is back in testing")
        return True

    def _review_on_github(self) -> bool:
        """Rey requests changes on a pull request, with an inline comment; the sweep notices."""
        key = self.sub_tasks()[REVIEW_ITEM]
        if "review" in self._given or self.world.people["rey"].status(key) != "In Testing":
            return False
        pull = self._pull_of(key)
        number, branch = pull["number"], pull["head"]["ref"]
        path, line_text, comment = recipes.REVIEW_INLINE
        line = self._line(branch, path, line_text)
        self._tell("rey", f"requests changes on pull request #{number}, at {path}:{line}: “{comment}”")
        self.world.reviewer.review(
            number, "REQUEST_CHANGES", recipes.REVIEW_BODY, inline=[(path, line, comment)]
        )
        self.say("", "The scheduled sweep looks for tickets that wait")
        self.world.actions.sweep()
        self._settle("review")
        answers = [one for thread in self.world.reviewer.threads(number) for one in _comments_of(thread)]
        self._expect(len(answers) >= 2, f"the inline comment on #{number} is answered: {answers}")
        return True

    def _merge_one(self) -> bool:
        """Rey merges the oldest pull request that is ready and whose target is the main branch."""
        ready = [pull for pull in self._pulls() if self._is_ready(pull)]
        if not ready:
            return False
        number = min(pull["number"] for pull in ready)
        self._tell("rey", f"approves and merges pull request #{number}")
        self.world.reviewer.review(number, "APPROVE", "Thank you.")
        self.world.reviewer.merge(number)
        self.world.settle()
        return True

    def _is_ready(self, pull: dict[str, Any]) -> bool:
        """Open for the main branch; one for the whole plan is ready when each of its sub-tasks is."""
        is_whole = pull["head"]["ref"] == f"ai/{self.key}"
        is_complete = not is_whole or set(self._states().values()) <= {"In Testing", "Done"}
        return pull["state"] == "open" and pull["base"]["ref"] == "main" and is_complete

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
        """The sub-task's own pull request, or that of the whole plan."""
        heads = {pull["head"]["ref"]: pull for pull in self._pulls()}
        found = heads.get(f"ai/{key}") or heads.get(f"ai/{self.key}")
        if found is None:
            raise StoryError(f"expected that {key} has a pull request")
        return found

    def _states(self) -> dict[str, str]:
        rita = self.world.people["rita"]
        return {key: rita.status(key) for key in self.sub_tasks().values()}

    def _settle(self, given: str) -> None:
        """Wait for the runs that follow from what a person said, and remember that it was said."""
        self._given.add(given)
        self.world.settle()

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
