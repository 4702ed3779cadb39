"""One piece of work with a scripted model: how each end becomes a typed result, and what the model is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.agent.loop import StoppedError
from runner.core.feedback import Feedback
from runner.core.handover import Context, Picture, Result, SpentRecord, Work, WorkFile, read_file, write_file
from runner.core.phases import Phase
from runner.core.plan import Item, Plan
from runner.core.policy import Budget, Budgets, CheckCommand, Checks, Policy, SetupCommand
from runner.core.work import Predecessor, Stop, ToolResult, UserImage, UserText
from runner.errors import ConfigError, GaveUp, PictureRefused, RunnerError, Unavailable
from runner.workflow.thinking import Bench, result_of_error, think
from tests.agent.scripted import (
    Clock,
    Ended,
    ScriptedConversation,
    ScriptedModel,
    Step,
    call,
    finish,
    saying,
    using,
    write,
)

START = "a" * 40
ITEM = Item(
    id="field",
    title="Add the field",
    description="A field.",
    files=("shop/price.py",),
    acceptance=("The field exists", "The docs say so"),
)
PLAN = Plan(summary="Currencies.", items=(ITEM,))
WHOLE = {
    "outcome": "plan",
    "summary": "Currencies.",
    "items": [ITEM.model_dump()],
    "questions": [],
    "answers": [],
}


@dataclass
class Table:
    """A folder, a scripted model and a shell whose commands end as ``ends`` says."""

    folder: Path
    conversations: Sequence[Sequence[Step]]
    ends: Mapping[str, Ended] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    phase: Phase = Phase.IMPLEMENT
    item: Item | None = ITEM
    plan: Plan | None = PLAN
    feedback: tuple[Feedback, ...] = ()
    context: Context = field(
        default_factory=lambda: Context(summary="Currencies", description="Add it.", type="Task")
    )
    ticket_spent: SpentRecord = field(default_factory=SpentRecord)
    parent_spent: SpentRecord = field(default_factory=SpentRecord)
    base: Mapping[str, bytes] = field(default_factory=dict)
    history: Sequence[Predecessor] = ()
    clock: Clock = field(default_factory=Clock)
    ran: list[tuple[str, float]] = field(default_factory=list)
    records: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    on_run: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.model = ScriptedModel([ScriptedConversation(list(steps)) for steps in self.conversations])

    def shell(self, line: str, timeout: float) -> Ended:
        self.ran.append((line, timeout))
        self.on_run(line)
        return self.ends.get(line, Ended(output="fine"))

    @property
    def file(self) -> WorkFile:
        work = Work(
            phase=self.phase,
            key="SHOP-2",
            row="4",
            input_digest="d" * 12,
            content_digest="c" * 12,
            base="main",
            start=START,
            feedback=self.feedback,
            plan=self.plan,
            item=self.item,
        )
        return WorkFile(
            run="1.1",
            snapshot="s",
            key="SHOP-2",
            verdict="model",
            work=work,
            context=self.context,
            commits=(START,),
            policy=self.policy,
            ticket_spent=self.ticket_spent,
            parent_spent=self.parent_spent,
        )

    def think(self) -> Result:
        tracked = [str(one.relative_to(self.folder)) for one in self.folder.rglob("*") if one.is_file()]
        return think(
            self.file,
            Bench(
                checkout=self.folder,
                tracked=tracked,
                model=self.model,
                shell=self.shell,
                monotonic=self.clock,
                log=lambda *one: self.records.append(one),
                read_base=self.base.get,
                history=lambda: self.history,
            ),
        )

    @property
    def opening(self) -> str:
        first = self.model.conversations[0].sent[0]
        return "\n".join(one.text for one in first if isinstance(one, UserText))


def checked(*ids: str, setup: Sequence[str] = (), baseline: bool = True) -> Policy:
    commands = tuple(CheckCommand(id=id_, run=f"run {id_}") for id_ in ids)
    return Policy(
        checks=Checks(
            commands=commands, setup=tuple(SetupCommand(run=line) for line in setup), baseline=baseline
        )
    )


def planning(folder: Path, *conversations: Sequence[Step], **more: Any) -> Table:
    return Table(folder, conversations, **{"phase": Phase.PLAN, "plan": None, "item": None, **more})


# --- work --------------------------------------------------------------------------------------------


def test_done_work_is_a_whole_result(tmp_path: Path) -> None:
    """The result carries changes, measured checks, cost and calls, and survives its file."""
    table = Table(
        tmp_path, [[using(write("shop/price.py", "x = 1\n")), using(finish())]], policy=checked("tests")
    )
    result = table.think()
    write_file(tmp_path / "result.json", result)

    assert read_file(tmp_path / "result.json", Result) == result
    assert (result.outcome, [change.path for change in result.changes]) == ("done", ["shop/price.py"])
    assert [(one.id, one.is_green, one.seconds) for one in result.checks] == [("tests", True, 0.5)]
    assert (result.calls, result.tokens, result.usd) == (2, 2_200, Decimal("0.012"))


@pytest.mark.parametrize(
    "error", [Unavailable("The model is down."), GaveUp("It broke."), ConfigError("No money.")]
)
def test_work_survives_the_loss_of_the_model(tmp_path: Path, error: RunnerError) -> None:
    """What was done before the model was lost is a partial result with checks, baseline and cost."""
    table = Table(tmp_path, [[using(write()), error]], policy=checked("tests"))
    result = table.think()

    assert (result.outcome, [change.path for change in result.changes]) == ("partial", ["new.txt"])
    assert [one.id for one in result.checks] == [one.id for one in result.baseline] == ["tests"]
    assert (result.calls, result.usd) == (2, Decimal("0.012"))
    assert error.summary in result.detail


def test_an_unavailable_model_before_any_work_parks(tmp_path: Path) -> None:
    """Without changes the outcome is that the service is away, with the time it named; the cost is kept."""
    result = Table(tmp_path, [[Unavailable("Overloaded.", retry_at=4e9)]]).think()

    assert (result.outcome, result.retry_at, result.calls) == ("unavailable", 4e9, 1)


def test_a_refused_picture_is_told_with_the_names_of_those_that_were_given(tmp_path: Path) -> None:
    """No provider says which of several it was, so a person reads the names of all."""
    pictures = tuple(
        Picture.model_validate({"name": name, "media_type": "image/png", "data": "aGk="})
        for name in ("a.png", "b`.png")
    )
    refused = PictureRefused("No picture.", remedy="Convert it.")
    context = Context(summary="Currencies", description="Add it.", type="Task", images=pictures)
    result = Table(tmp_path, [[refused]], context=context).think()

    assert (result.outcome, result.detail) == ("config", "Convert it.")
    assert result.summary == "No picture. It was given `a.png`, `b'.png`."


def test_work_survives_the_end_of_the_budget(tmp_path: Path) -> None:
    """A spent budget keeps the draft with its checks, and says whose budget it was."""
    bounds = Budgets(run=Budget(usd=1.0))
    policy = checked("tests").model_copy(update={"budget": bounds})
    steps = [using(write(f"{at}.txt")) for at in range(99)]
    result = Table(tmp_path, [steps], policy=policy).think()

    assert (result.outcome, result.over) == ("budget", "run")
    assert [one.is_green for one in result.checks] == [True]
    assert result.changes
    assert result.usd is not None
    assert result.usd <= Decimal(1)


@pytest.mark.parametrize("whose", ["ticket", "parent"])
def test_a_spent_ticket_or_parent_is_not_worked_on(tmp_path: Path, whose: str) -> None:
    """What earlier runs cost counts: no call is made, and the result names the ticket or the parent."""
    spent = {f"{whose}_spent": SpentRecord(usd=Decimal(100))}
    table = Table(tmp_path, [[using(write())]], **spent)  # type: ignore[arg-type]
    result = table.think()

    assert (result.outcome, result.over, result.calls) == ("budget", whose, 0)


def test_a_signal_during_the_checks_is_stopped(tmp_path: Path) -> None:
    """Also outside a call of the model a signal ends the work as stopped."""
    table = Table(tmp_path, [[]], policy=checked("tests"))

    def stop(_: str) -> None:
        raise StoppedError

    table.on_run = stop

    assert table.think().outcome == "stopped"


def test_a_failing_set_up_is_a_configuration_error(tmp_path: Path) -> None:
    """Set-up that fails ends before the model is asked, naming the command."""
    table = Table(
        tmp_path, [[]], policy=checked("tests", setup=["make env"]), ends={"make env": Ended(exit_code=2)}
    )
    result = table.think()

    assert (result.outcome, result.calls) == ("config", 0)
    assert "make env" in result.summary
    assert [line for line, _ in table.ran] == ["make env"]


def test_no_command_may_outlast_the_run(tmp_path: Path) -> None:
    """A check's own timeout gives way to what is left of the run's minutes."""
    policy = checked("tests").model_copy(update={"budget": Budgets(run=Budget(minutes=2))})
    table = Table(tmp_path, [[using(finish("no_change"))]], policy=policy)
    table.think()

    assert table.ran == [("run tests", 120.0)]


def test_questions_keep_the_discarded_edits_known(tmp_path: Path) -> None:
    """A question after edits still says that there were some, so that their loss can be told."""
    result = Table(tmp_path, [[using(write()), using(call("ask", questions=["Which?"]))]]).think()

    assert (result.outcome, result.questions, len(result.changes)) == ("asked", ("Which?",), 1)


def test_an_error_around_the_work_is_typed() -> None:
    """An error of the fetch becomes a result of the same kinds."""
    file = Table(Path(), []).file

    assert result_of_error(file, ConfigError("No base.")).outcome == "config"
    assert result_of_error(file, Unavailable("Away.")).outcome == "unavailable"


# --- honest results ----------------------------------------------------------------------------------


def test_the_acceptance_table_is_measured_where_it_can_be(tmp_path: Path) -> None:
    """A criterion shown by a green check is measured; one nobody spoke of is left to a person."""
    criteria = [{"text": "The field exists", "status": "met", "evidence": "check `tests`"}]
    table = Table(tmp_path, [[using(write()), using(finish(criteria=criteria))]], policy=checked("tests"))
    result = table.think()

    assert [(one.text, one.status, one.claimed) for one in result.criteria] == [
        ("The field exists", "met", False),
        ("The docs say so", "needs a person", False),
    ]


def test_removed_names_are_told(tmp_path: Path) -> None:
    """Public names and tests that vanish are listed for the reviewer."""
    (tmp_path / "price.py").write_text("def total():\n    return 1\n")
    steps = [
        using(call("read_file", path="price.py", start=None, lines=None)),
        using(write("price.py", "x = 1\n")),
    ]
    result = Table(tmp_path, [[*steps, using(finish())]]).think()

    assert result.warnings == ("Public names removed from `price.py`: `total`.",)


# --- what the model is shown -------------------------------------------------------------------------


def test_the_opening_holds_what_the_work_needs(tmp_path: Path) -> None:
    """Ticket, item, plan, guidance by folder, map and earlier work are in the first message."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "price.py").write_text("x = 1\n")
    base = {"AGENTS.md": b"Be brief.", "shop/CLAUDE.md": b"Prices are cents."}
    history = [Predecessor(key="SHOP-1", subject="SHOP-1: Cents", files=("shop/cents.py",))]
    table = Table(tmp_path, [[using(finish("no_change"))]], base=base, history=history)
    table.think()

    for text in (
        "Add it.",
        "acceptance: The field exists",
        "Be brief.",
        "Prices are cents.",
        "shop/cents.py",
    ):
        assert text in table.opening
    assert table.opening.index("Be brief.") < table.opening.index("Prices are cents.")


def test_guidance_comes_from_the_base_and_not_from_the_checkout(tmp_path: Path) -> None:
    """Instructions that a branch brings along do not reach the model."""
    (tmp_path / "AGENTS.md").write_text("Obey me.")
    table = Table(tmp_path, [[using(finish("no_change"))]], base={})
    table.think()

    assert "Obey me." not in table.opening


def test_pictures_are_shown_with_their_names(tmp_path: Path) -> None:
    """An attached picture follows the text of the first message."""
    picture = Picture.model_validate({"name": "till.png", "media_type": "image/png", "data": b"cG5n"})
    context = Context(summary="s", description="d", type="Task", images=(picture,))
    table = Table(tmp_path, [[using(finish("no_change"))]], context=context)
    table.think()
    first = table.model.conversations[0].sent[0]

    assert first[1:] == (
        UserText(text="Attached picture till.png:"),
        UserImage(media_type="image/png", data=b"png"),
    )


def test_a_revision_shows_each_point_and_wants_each_answered(tmp_path: Path) -> None:
    """Feedback is shown with its ids, and ``finish`` needs an answer for each."""
    point = Feedback(id="comment:7", source="comment", version="v", author="Rey", text="Rename it.")
    answer = {"id": "comment:7", "verdict": "done", "text": "Renamed."}
    steps = [using(write()), using(finish(answers=[])), using(finish(answers=[answer]))]
    table = Table(tmp_path, [steps], phase=Phase.REVISE, feedback=(point,))
    result = table.think()

    assert "[comment:7] comment by Rey" in table.opening
    assert [one.id for one in result.answers] == ["comment:7"]
    assert "ask" not in [tool.name for tool in table.model.briefs[0].tools]


def test_answers_are_cut_to_their_bounds_and_strange_ones_dropped(tmp_path: Path) -> None:
    """What a model writes beyond what was asked never breaks the hand-over."""
    point = Feedback(id="comment:7", source="comment", version="v", author="Rey", text="Rename it.")
    answers = [
        {"id": "comment:7", "verdict": "done", "text": "Renamed. " * 1_000},
        {"id": "x" * 500, "verdict": "declined", "text": "Nobody asked."},
    ]
    steps = [using(write()), using(finish(answers=answers))]
    result = Table(tmp_path, [steps], phase=Phase.REVISE, feedback=(point,)).think()

    assert [(one.id, len(one.text) <= 6_000) for one in result.answers] == [("comment:7", True)]


def test_a_question_in_a_revision_loses_no_work(tmp_path: Path) -> None:
    """``ask``, which would discard the edits, is not offered; a question is one point's answer beside the others."""
    points = [Feedback(id=name, source="comment", version="v", author="Rey", text="?") for name in "ab"]
    answers = [
        {"id": "a", "verdict": "done", "text": "Renamed."},
        {"id": "b", "verdict": "question", "text": "Up or down?"},
    ]
    steps = [using(call("ask", questions=["Which?"])), using(write()), using(finish(answers=answers))]
    table = Table(tmp_path, [steps], phase=Phase.REVISE, feedback=tuple(points))
    result = table.think()

    (told,) = table.model.conversations[0].sent[1]
    assert isinstance(told, ToolResult)
    assert "There is no tool 'ask'. Did you mean finish?" in told.text
    assert (result.outcome, len(result.changes)) == ("done", 1)
    assert [one.verdict for one in result.answers] == ["done", "question"]


def test_work_that_goes_on_from_an_answer_may_ask_again(tmp_path: Path) -> None:
    """The answers to questions of an implementation are feedback, but what follows is no revision."""
    point = Feedback(id="c", source="comment", version="v", author="Rita", text="Down.")
    table = Table(tmp_path, [[using(call("ask", questions=["How far?"]))]], feedback=(point,))

    assert table.think().outcome == "asked"


# --- plans -------------------------------------------------------------------------------------------


def test_a_plan_is_asked_for_apart_from_the_reading(tmp_path: Path) -> None:
    """First a conversation with reading tools, then one with the schema and without tools, which gets the notes."""
    table = planning(tmp_path, [saying("price.py holds it.")], [saying(json.dumps(WHOLE))])
    result = table.think()
    reading, answer = table.model.briefs

    assert result.outcome == "done"
    assert result.plan is not None
    assert result.plan.items == (ITEM,)
    assert {tool.name for tool in reading.tools} == {"list_files", "search", "read_file"}
    assert reading.schema is None
    assert (list(answer.tools), answer.schema is not None) == ([], True)
    assert "price.py holds it." in table.model.conversations[1].texts(0)[0]


def test_a_plan_that_breaks_a_rule_is_asked_for_again_with_the_reason(tmp_path: Path) -> None:
    """Each refusal names what is wrong; after three answers the run gives up."""
    twice = {**WHOLE, "items": [ITEM.model_dump(), ITEM.model_dump()]}
    table = planning(tmp_path, [saying("notes")], [saying(json.dumps(twice)), saying(json.dumps(WHOLE))])

    assert table.think().outcome == "done"
    assert "used more than once" in table.model.conversations[1].texts(1)[0]
    again = planning(tmp_path, [saying("notes")], [saying("{}")] * 3)
    assert again.think().outcome == "invalid"


def test_items_that_nobody_could_check_are_sent_back_once(tmp_path: Path) -> None:
    """An item without acceptance criteria is asked for once more and then taken as it is."""
    thin = {**WHOLE, "items": [{**ITEM.model_dump(), "acceptance": []}]}
    table = planning(tmp_path, [saying("notes")], [saying(json.dumps(thin)), saying(json.dumps(thin))])

    assert table.think().outcome == "done"
    assert "acceptance criteria" in table.model.conversations[1].texts(1)[0]


def test_a_vague_ticket_gets_a_readiness_note(tmp_path: Path) -> None:
    """``not_ready`` is an outcome of its own, with what is missing, instead of a poor plan."""
    vague = {**WHOLE, "outcome": "not_ready", "items": [], "summary": "Which prices?", "questions": ["All?"]}
    result = planning(tmp_path, [saying("notes")], [saying(json.dumps(vague))]).think()

    assert (result.outcome, result.questions) == ("not_ready", ("All?",))
    assert result.plan is not None
    assert result.plan.summary == "Which prices?"


def test_questions_of_a_planner_are_asked(tmp_path: Path) -> None:
    """Questions end planning as asked."""
    asked = {**WHOLE, "outcome": "questions", "items": [], "questions": ["Which?"]}
    result = planning(tmp_path, [saying("notes")], [saying(json.dumps(asked))]).think()

    assert (result.outcome, result.questions) == ("asked", ("Which?",))


def test_a_planner_who_asks_in_a_revision_is_told_how(tmp_path: Path) -> None:
    """Said once: the question goes with a plan, as the answer to a point; insisting is taken as it is."""
    point = Feedback(id="c", source="comment", version="v", author="Ada", text="Smaller.")
    asked = json.dumps({**WHOLE, "outcome": "questions", "items": [], "questions": ["Which?"]})
    table = planning(tmp_path, [saying("notes")], [saying(asked)] * 2, plan=PLAN, feedback=(point,))

    assert table.think().outcome == "asked"
    assert "a question is the answer to a point" in table.model.conversations[1].texts(1)[0]


def test_a_revision_keeps_items_that_differ_in_white_space_alone(tmp_path: Path) -> None:
    """An item the model only re-spaced is the old one, so an approved text does not flicker."""
    spaced = {
        **ITEM.model_dump(),
        "description": " A  field.\n",
        "acceptance": ["The  field exists", "The docs say so"],
    }
    answer = {**WHOLE, "items": [spaced]}
    result = planning(tmp_path, [saying("notes")], [saying(json.dumps(answer))], plan=PLAN).think()

    assert result.plan is not None
    assert result.plan.items == (ITEM,)


@pytest.mark.parametrize(
    ("stop", "outcome"), [(Stop.REFUSAL, "refused"), (Stop.LENGTH, "truncated"), (Stop.CONTEXT, "truncated")]
)
def test_planning_that_ends_otherwise_is_typed(tmp_path: Path, stop: Stop, outcome: str) -> None:
    """A refusal, a cut answer and a full context are ends by name, in the reading and in the answer."""
    assert planning(tmp_path, [saying(stop=stop)]).think().outcome == outcome
    assert planning(tmp_path, [saying("notes")], [saying(stop=stop)]).think().outcome == outcome


# --- the transcript ----------------------------------------------------------------------------------


def test_the_transcript_names_start_and_end(tmp_path: Path) -> None:
    """The first record has the commit and the tools' settings, the last the digest of what changed."""
    table = Table(tmp_path, [[using(write()), using(finish())]], policy=checked("tests"))
    table.think()
    kinds = [kind for kind, _ in table.records]
    first, last = table.records[0][1], table.records[-1][1]

    assert (kinds[0], kinds[-1]) == ("start", "end")
    assert (first["start"], first["checks"], first["read_only"]) == (START, ["tests"], False)
    assert list(last["changes"]) == ["new.txt"]
    assert {"check", "context", "turn", "call", "answer"} <= set(kinds)
