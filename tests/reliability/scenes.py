"""Where a phase begins: a world in which exactly that phase is due for one ticket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from tests.reliability.arena import PROJECT, Arena, new_arena
from tests.reliability.runs import Runs
from tests.reliability.scripts import Script


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A world, the ticket whose run is due, its parent, and how the model behaves."""

    arena: Arena
    key: str
    parent: str
    script: Script

    def copy(self) -> Scene:
        """The same scene on its own."""
        return replace(self, arena=self.arena.copy())

    def runs(self) -> Runs:
        """Runs in this scene's world."""
        return Runs(self.arena, self.script)


@cache
def plan() -> Scene:
    """Row 1: a ticket was written and given to the runner."""
    arena = new_arena()
    key = arena.rita.create_ticket("Round prices", "Prices must be rounded.", project=PROJECT)
    arena.rita.comment(key, "To the nearest cent, please.")
    arena.rita.assign(key, arena.bot)
    return Scene(arena=arena, key=key, parent=key, script=Script())


@cache
def planned() -> Scene:
    """A plan waits for approval."""
    scene = plan().copy()
    scene.runs().run(scene.key)
    return scene


@cache
def plan_revision() -> Scene:
    """Row 2: the approver commented on the plan and gave it back."""
    scene = planned().copy()
    scene.arena.ada.comment(scene.key, "Leave the receipt out.")
    scene.arena.ada.assign(scene.key, scene.arena.bot)
    return replace(scene, script=Script(items=("prices", "rounding")))


@cache
def plan_questions() -> Scene:
    """Row 8: the plan needs an answer."""
    return replace(plan().copy(), script=Script(plan="asked"))


@cache
def plan_failure() -> Scene:
    """Row 15: no usable plan came back."""
    return replace(plan().copy(), script=Script(plan="invalid"))


@cache
def breakdown() -> Scene:
    """Row 3: the plan was approved."""
    scene = planned().copy()
    scene.arena.ada.move(scene.key, "In Progress")
    return scene


@cache
def broken_down() -> Scene:
    """Three sub-tasks wait for their turn."""
    scene = breakdown().copy()
    scene.runs().run(scene.key)
    return scene


@cache
def implement() -> Scene:
    """Row 4: the first sub-task is ready."""
    scene = broken_down().copy()
    return replace(scene, key=scene.arena.sub_tasks(scene.parent)[0])


@cache
def implemented() -> Scene:
    """The first sub-task is handed over."""
    scene = implement().copy()
    scene.runs().run(scene.key)
    return scene


@cache
def implement_stacked() -> Scene:
    """Row 4: the second sub-task builds on the first one's branch."""
    scene = implemented().copy()
    return replace(scene, key=scene.arena.sub_tasks(scene.parent)[1])


@cache
def revise() -> Scene:
    """Row 6: feedback in Jira, in a review with an inline comment, and in the conversation."""
    scene = implemented().copy()
    arena, key = scene.arena, scene.key
    arena.reviewer.review(
        1, "REQUEST_CHANGES", "Not yet.", inline=[(f"src/{key}.py", 1, "Say what this is for.")]
    )
    arena.reviewer.comment(1, "And mention the ticket.")
    arena.rey.comment(key, "The first line looks odd.")
    arena.rey.assign(key, arena.bot)
    return scene


@cache
def questions() -> Scene:
    """Row 8: the implementation needs an answer."""
    return replace(implement().copy(), script=Script(implement="asked"))


@cache
def answered() -> Scene:
    """Row 9a: the question was answered."""
    scene = questions().copy()
    scene.runs().run(scene.key)
    scene.arena.rita.comment(scene.key, "In euros.")
    scene.arena.rita.assign(scene.key, scene.arena.bot)
    return replace(scene, script=Script())


@cache
def failure() -> Scene:
    """Row 15: the model's answer could not be used."""
    return replace(implement().copy(), script=Script(implement="invalid"))


@cache
def retry() -> Scene:
    """Row 9b: a person gave a failed ticket back."""
    scene = failure().copy()
    scene.runs().run(scene.key)
    scene.arena.rey.assign(scene.key, scene.arena.bot)
    return replace(scene, script=Script())


@cache
def red() -> Scene:
    """Row 15: the work is done but the checks are red, so it is kept as a draft."""
    return replace(implement().copy(), script=Script(is_green=False))


@cache
def no_change() -> Scene:
    """Nothing needs to change, with evidence."""
    return replace(implement().copy(), script=Script(implement="no_change"))


@cache
def merge() -> Scene:
    """Row 14: the reviewer merged the pull request."""
    scene = implemented().copy()
    scene.arena.reviewer.merge(1)
    return scene


@cache
def closed() -> Scene:
    """Row 14: the reviewer closed the pull request."""
    scene = implemented().copy()
    scene.arena.reviewer.close(1)
    return scene


@cache
def stacked() -> Scene:
    """Two pull requests, the second onto the first."""
    scene = implement_stacked().copy()
    scene.runs().run(scene.key)
    return scene


@cache
def restack() -> Scene:
    """The first pull request was merged, and the second one's branch must follow."""
    scene = stacked().copy()
    scene.arena.reviewer.merge(1, method="squash")
    return scene


@cache
def base_vanished() -> Scene:
    """Row 14: the branch below was merged and deleted, which closed the second pull request."""
    scene = stacked().copy()
    first = scene.arena.sub_tasks(scene.parent)[0]
    scene.arena.reviewer.merge(1)
    scene.arena.delete_branch(f"ai/{first}")
    return scene


@cache
def completion() -> Scene:
    """Row 7: every sub-task is done, and the parent is woken."""
    scene = breakdown().copy()
    runs = scene.runs()
    runs.run(scene.key)
    for number, key in enumerate(scene.arena.sub_tasks(scene.parent), 1):
        runs.run(key)
        scene.arena.reviewer.merge(number)
        runs.run(key)
    return scene


@cache
def direct() -> Scene:
    """Row 12: a ticket that is worked on without a plan."""
    arena = new_arena()
    key = arena.rita.create_ticket("Fix a typo", "In the README.", project=PROJECT, labels=["ai:direct"])
    arena.rita.assign(key, arena.bot)
    return Scene(arena=arena, key=key, parent=key, script=Script())


@cache
def shared() -> Scene:
    """One branch for all sub-tasks, with the first one's work on it."""
    arena = new_arena({"sequence": "shared"})
    key = arena.rita.create_ticket("Round prices", "Prices must be rounded.", project=PROJECT)
    arena.rita.assign(key, arena.bot)
    scene = Scene(arena=arena, key=key, parent=key, script=Script())
    runs = scene.runs()
    runs.run(key)
    arena.ada.move(key, "In Progress")
    runs.run(key)
    runs.run(arena.sub_tasks(key)[0])
    return scene


@cache
def shared_implement() -> Scene:
    """Row 4: the second sub-task adds its commit to the branch and the pull request that all share."""
    scene = shared().copy()
    return replace(scene, key=scene.arena.sub_tasks(scene.parent)[1])


@cache
def shared_both() -> Scene:
    """Two sub-tasks are in the shared pull request."""
    scene = shared_implement().copy()
    scene.runs().run(scene.key)
    return scene


@cache
def shared_revise() -> Scene:
    """Row 6: a review of the shared pull request is about the first sub-task's file."""
    scene = shared_both().copy()
    first = scene.arena.sub_tasks(scene.parent)[0]
    inline = [(f"src/{first}.py", 1, "Say what this is for.")]
    scene.arena.reviewer.review(1, "REQUEST_CHANGES", "Not yet.", inline=inline)
    return replace(scene, key=first)


@cache
def shared_merge() -> Scene:
    """Row 14: the shared pull request was merged before the third sub-task was in it."""
    scene = shared_both().copy()
    scene.arena.reviewer.merge(1)
    return scene


PHASES: dict[str, Callable[[], Scene]] = {
    one.__name__: one
    for one in (
        plan,
        plan_revision,
        plan_questions,
        plan_failure,
        breakdown,
        implement,
        implement_stacked,
        revise,
        questions,
        answered,
        failure,
        retry,
        red,
        no_change,
        merge,
        closed,
        restack,
        base_vanished,
        completion,
        direct,
        shared_implement,
        shared_revise,
        shared_merge,
    )
}
