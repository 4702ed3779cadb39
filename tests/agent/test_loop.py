"""Every end of a run by tool calls, and what the model is told on the way there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from runner.agent.loop import (
    CUT,
    EMPTY,
    LOOK_FIRST,
    MAX_PAUSES,
    NO_ROOM,
    NOTES,
    REMINDER,
    STEER,
    STEER_READING,
    StoppedError,
    explore,
)
from runner.agent.meter import Bound, BudgetSpentError
from runner.agent.tools import Toolbox
from runner.core.budget import Budget, Spent
from runner.core.work import Stop, ToolCall, UserText
from runner.errors import ConfigError, GaveUp, Unavailable
from tests.agent.scripted import (
    USAGE,
    Rig,
    ScriptedConversation,
    call,
    dollars,
    finish,
    saying,
    using,
    write,
)


def paths(finished: object) -> list[str]:
    return [change.path for change in finished.changes]  # type: ignore[attr-defined]


# --- ends --------------------------------------------------------------------------------------------


def test_done_with_green_checks_is_done(tmp_path: Path) -> None:
    """Work that changed something and whose checks are green ends as done, with changes, checks and usage."""
    finished = Rig(tmp_path, [using(write()), using(finish())]).run()

    assert finished.outcome == "done"
    assert paths(finished) == ["new.txt"]
    assert [(run.id, run.is_green) for run in finished.checks] == [("tests", True)]
    assert finished.usage == USAGE + USAGE
    assert finished.calls == 2


def test_no_change_needs_no_edit(tmp_path: Path) -> None:
    """``no_change`` is an end of its own, with the baseline as its measurement."""
    rig = Rig(tmp_path, [using(finish("no_change", summary="It does so already."))])
    finished = rig.run()

    assert (finished.outcome, finished.summary) == ("no_change", "It does so already.")
    assert [run.id for run in finished.checks] == ["tests"]
    assert rig.ran == []


def test_no_change_is_refused_when_files_differ(tmp_path: Path) -> None:
    """Edits are never dropped silently by calling the work unchanged."""
    rig = Rig(tmp_path, [using(write()), using(finish("no_change")), using(finish("partial"))])
    finished = rig.run()

    assert rig.conversation.results(2)[0].is_error
    assert (finished.outcome, paths(finished)) == ("partial", ["new.txt"])


def test_partly_done_keeps_the_work_with_its_checks(tmp_path: Path) -> None:
    """``partial`` is accepted with red checks, which are measured on the files as they are."""
    finished = Rig(tmp_path, [using(write(content="red 1\n")), using(finish("partial"))]).run()

    assert (finished.outcome, paths(finished)) == ("partial", ["new.txt"])
    assert [run.is_green for run in finished.checks] == [False]


def test_asking_ends_with_questions(tmp_path: Path) -> None:
    """Questions end the run; blank ones are dropped."""
    finished = Rig(tmp_path, [using(call("ask", questions=["Which rounding?", " "]))]).run()

    assert (finished.outcome, finished.questions) == ("asked", ("Which rounding?",))


def test_asking_nothing_is_answered(tmp_path: Path) -> None:
    """An ``ask`` without a question is refused, and the work goes on."""
    rig = Rig(tmp_path, [using(call("ask", questions=[])), using(write()), using(finish())])

    assert rig.run().outcome == "done"
    assert rig.conversation.results(1)[0].is_error


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [
        (Stop.REFUSAL, "refused"),
        (Stop.FILTERED, "refused"),
        (Stop.FAILED, "invalid"),
    ],
)
def test_a_stop_of_the_provider_is_a_typed_end(tmp_path: Path, stop: Stop, outcome: str) -> None:
    """A refusal, a filter and an unknown stop end the run by name, with the provider's reason and what was done."""
    finished = Rig(tmp_path, [using(write()), saying("no", stop, detail="cyber")]).run()

    assert (finished.outcome, finished.detail, paths(finished)) == (outcome, "cyber", ["new.txt"])


def test_a_signal_keeps_what_exists(tmp_path: Path) -> None:
    """Stopped by a signal, the edits so far stay, and no check is started any more."""
    rig = Rig(tmp_path, [using(write()), StoppedError(15)])
    finished = rig.run()

    assert (finished.outcome, paths(finished), finished.checks) == ("stopped", ["new.txt"], ())
    assert rig.ran == []


@pytest.mark.parametrize(
    "error", [Unavailable("The service is down."), GaveUp("No."), ConfigError("No money.")]
)
def test_an_error_after_edits_keeps_them_with_their_measurements(tmp_path: Path, error: Exception) -> None:
    """When the model is lost in the middle, the draft carries changes, checks, baseline and usage."""
    finished = Rig(tmp_path, [using(write()), error]).run()

    assert (finished.outcome, paths(finished)) == ("partial", ["new.txt"])
    assert str(error) in finished.detail
    assert [run.is_green for run in finished.checks] == [True]
    assert [run.id for run in finished.baseline] == ["tests"]
    assert finished.usage == USAGE + USAGE


def test_an_error_before_any_edit_is_raised(tmp_path: Path) -> None:
    """Nothing was done, so the caller parks, reports or retries."""
    with pytest.raises(Unavailable):
        Rig(tmp_path, [Unavailable("down")]).run()


# --- what finish is refused for ----------------------------------------------------------------------


def test_red_checks_refuse_done_and_show_why(tmp_path: Path) -> None:
    """Checks that were green and are red now are run by the loop and fed back; repaired, the work is accepted."""
    rig = Rig(
        tmp_path,
        [using(write(content="red: a broken pipe\n")), using(finish()), using(write()), using(finish())],
    )

    assert rig.run().outcome == "done"
    refusal = rig.conversation.results(2)[0]
    assert refusal.is_error
    assert "a broken pipe" in refusal.text
    assert rig.ran == ["run tests", "run tests"]


def test_a_green_run_after_the_last_edit_is_needed(tmp_path: Path) -> None:
    """A check that ran before the last edit does not count: the loop runs it again."""
    rig = Rig(
        tmp_path,
        [
            using(write(), call("run_check", id="tests")),
            using(write("b.txt", "red\n")),
            using(finish()),
            using(finish("partial")),
        ],
    )
    finished = rig.run()

    assert finished.outcome == "partial"
    assert rig.conversation.results(3)[0].is_error


def test_a_green_run_on_the_files_as_they_are_is_not_repeated(tmp_path: Path) -> None:
    """What the model ran itself after its last edit is not run again."""
    rig = Rig(tmp_path, [using(write(), call("run_check", id="tests")), using(finish())])

    assert rig.run().outcome == "done"
    assert rig.ran == ["run tests"]


def test_a_check_that_was_red_before_is_not_chased(tmp_path: Path) -> None:
    """Old failures do not hold the work up; baseline and end both say so."""
    (tmp_path / "old.txt").write_text("red from before\n")
    finished = Rig(tmp_path, [using(write()), using(finish())]).run()

    assert finished.outcome == "done"
    assert [run.is_green for run in finished.baseline] == [False]
    assert [run.is_green for run in finished.checks] == [False]


def test_every_point_of_feedback_needs_an_answer(tmp_path: Path) -> None:
    """``finish`` without an answer to each point is refused, naming the missing ones."""
    answer = {"id": "c1", "verdict": "done", "text": "Renamed."}
    rig = Rig(
        tmp_path,
        [using(write()), using(finish(answers=[])), using(finish(answers=[answer]))],
        answers_due=frozenset({"c1"}),
    )
    finished = rig.run()

    assert "c1" in rig.conversation.results(2)[0].text
    assert [(one.id, one.verdict) for one in finished.answers] == [("c1", "done")]


def test_feedback_may_be_answered_in_words_alone(tmp_path: Path) -> None:
    """A revision that declines every point needs no edit."""
    declined = {"id": "c1", "verdict": "declined", "text": "It is needed."}
    finished = Rig(tmp_path, [using(finish(answers=[declined]))], answers_due=frozenset({"c1"})).run()

    assert (finished.outcome, finished.changes) == ("done", ())


def test_an_empty_diff_is_asked_again_once(tmp_path: Path) -> None:
    """``done`` without a change is refused once and ends as invalid the second time."""
    rig = Rig(tmp_path, [using(finish()), using(finish())])
    finished = rig.run()

    assert rig.conversation.results(1)[0].text == EMPTY
    assert finished.outcome == "invalid"


def test_a_finish_called_wrongly_is_taught(tmp_path: Path) -> None:
    """Arguments that do not fit are answered with what would be right."""
    rig = Rig(tmp_path, [using(write()), using(finish("maybe")), using(finish())])

    assert rig.run().outcome == "done"
    assert "'done'" in rig.conversation.results(2)[0].text


def test_the_same_refusal_three_times_ends_the_work(tmp_path: Path) -> None:
    """Calling finish again and again without doing what was said ends as partly done."""
    rig = Rig(tmp_path, [using(write(content="red\n")), *(using(finish()) for _ in range(3))])
    finished = rig.run()

    assert (finished.outcome, paths(finished)) == ("partial", ["new.txt"])
    assert finished.detail.endswith(
        "each time: Not accepted yet: checks that were green before the work are red now."
    )
    assert rig.ran == ["run tests"]


# --- repetition --------------------------------------------------------------------------------------


def test_the_same_failing_call_three_times_ends_the_work(tmp_path: Path) -> None:
    """A call that fails in the same way again and again is a loop, not work."""
    again = [using(call("read_file", path="absent.txt")) for _ in range(3)]
    finished = Rig(tmp_path, again).run()

    assert (finished.outcome, finished.detail) == (
        "partial",
        "The same tool call failed three times in the same way.",
    )


def test_the_same_error_of_a_check_three_times_ends_the_repair(tmp_path: Path) -> None:
    """Three different edits that leave a check failing in the same words end the repair, times aside."""
    steps = [
        using(
            write(f"{at}.txt", "x\n"),
            write(content=f"red: no module, {at} s\n"),
            call("run_check", id="tests"),
        )
        for at in range(1, 4)
    ]
    finished = Rig(tmp_path, steps).run()

    assert (finished.outcome, finished.detail) == (
        "partial",
        "The checks failed three times in the same way.",
    )


def test_different_errors_of_a_check_are_progress(tmp_path: Path) -> None:
    """A check that fails in another way each time is being repaired."""
    words = ["red: no module", "red: no name", "red: no match"]
    steps = [using(write(content=f"{text}\n"), call("run_check", id="tests")) for text in words]
    rig = Rig(tmp_path, [*steps, using(write()), using(finish())])

    assert rig.run().outcome == "done"


# --- turns -------------------------------------------------------------------------------------------


def test_parallel_calls_are_answered_in_one_turn_and_in_order(tmp_path: Path) -> None:
    """Every call of a turn gets its result in the next request, in the order of the calls."""
    (tmp_path / "a.txt").write_text("a\n")
    first = using(call("read_file", path="a.txt"), write(), call("run_check", id="tests"))
    rig = Rig(tmp_path, [first, using(finish())])
    rig.run()

    assert [one.call_id for one in rig.conversation.results(1)] == [one.id for one in first.tool_calls]


def test_an_end_called_beside_edits_comes_after_them(tmp_path: Path) -> None:
    """``finish`` in the same turn as an edit sees the edit, whatever their order."""
    finished = Rig(tmp_path, [using(finish(), write())]).run()

    assert (finished.outcome, paths(finished)) == ("done", ["new.txt"])


def test_arguments_that_are_no_object_are_answered(tmp_path: Path) -> None:
    """A call whose arguments could not be read is answered with the reason and not run."""
    broken = ToolCall(id="b", name="write_file", arguments=None, error="The arguments are not JSON: x")
    rig = Rig(tmp_path, [using(broken), using(write()), using(finish())])

    assert rig.run().outcome == "done"
    assert rig.conversation.results(1)[0].text == "The arguments are not JSON: x"


def test_a_turn_without_a_call_is_reminded_twice(tmp_path: Path) -> None:
    """Ending a turn in words is not an end of the work; after two reminders it is no usable answer."""
    rig = Rig(tmp_path, [using(write()), saying("ok"), saying("ok"), saying("I am done.")])
    finished = rig.run()

    assert [rig.conversation.texts(at) for at in (2, 3)] == [[REMINDER], [REMINDER]]
    assert (finished.outcome, finished.summary, paths(finished)) == ("invalid", "I am done.", ["new.txt"])


def test_a_pause_is_continued_as_it_is(tmp_path: Path) -> None:
    """A paused turn goes on without any word from us, a bounded number of times."""
    pauses = [saying(stop=Stop.PAUSE) for _ in range(MAX_PAUSES)]
    rig = Rig(tmp_path, [*pauses, using(write()), using(finish())])

    assert rig.run().outcome == "done"
    assert rig.conversation.sent[1] == ()
    assert Rig(tmp_path, [*pauses, saying(stop=Stop.PAUSE)]).run().outcome == "invalid"


def test_a_cut_answer_runs_nothing_and_is_asked_in_smaller_steps(tmp_path: Path) -> None:
    """A turn at its length limit has no calls to run; after two of them the third ends the run as truncated."""
    cut = saying("half", Stop.LENGTH)
    rig = Rig(tmp_path, [cut, cut, using(write()), using(finish())])

    assert rig.run().outcome == "done"
    assert rig.conversation.texts(1) == [CUT]
    assert Rig(tmp_path, [cut, cut, cut]).run().outcome == "truncated"


# --- budgets -----------------------------------------------------------------------------------------


def test_the_call_that_could_cross_the_budget_is_not_made(tmp_path: Path) -> None:
    """One call costs at most 2.5 cents and took 0.6: a bound of 4 cents allows three of them, and not a fourth."""
    steps = [using(write(f"{at}.txt")) for at in range(9)]
    rig = Rig(tmp_path, steps, budget=dollars("0.04"))
    finished = rig.run()

    assert rig.conversation.calls == 3
    assert rig.meter.usd == Decimal("0.018")
    assert (finished.outcome, rig.meter.over) == ("budget", "run")
    assert paths(finished) == ["0.txt", "1.txt", "2.txt"]
    assert [run.is_green for run in finished.checks] == [True]


@pytest.mark.parametrize("scope", ["ticket", "parent"])
def test_earlier_runs_count_against_the_wider_budgets(tmp_path: Path, scope: str) -> None:
    """A ticket or parent whose earlier runs used its budget gets no call at all, and the end names whose it was."""
    rig = Rig(tmp_path, [using(write())])
    bound = Bound(scope=scope, budget=dollars("20"), before=Spent(usd=Decimal("19.99")))  # type: ignore[arg-type]
    rig.meter.wider = (bound,)
    finished = rig.run()

    assert rig.conversation.calls == 0
    assert (finished.outcome, rig.meter.over) == ("budget", scope)
    assert "$19.99" in finished.detail


def test_an_unknown_price_is_bounded_by_tokens(tmp_path: Path) -> None:
    """A model without a known price costs ``None``, and its bound in USD holds in tokens."""
    rig = Rig(tmp_path, [using(write(f"{at}.txt")) for at in range(9)], budget=dollars("0.05"))
    rig.meter.choice = replace(rig.meter.choice, model="novel-1")
    finished = rig.run()

    assert (finished.outcome, rig.meter.usd) == ("budget", None)
    assert rig.conversation.calls == 3


def test_the_deadline_travels_with_every_call(tmp_path: Path) -> None:
    """Each call knows the run's own end on the monotonic clock."""
    rig = Rig(tmp_path, [using(write()), using(finish())])
    rig.run()

    assert rig.conversation.deadlines == [10_000.0, 10_000.0]


def test_a_call_that_outlives_the_deadline_ends_as_budget(tmp_path: Path) -> None:
    """Time is a budget too; no check is started after it ran out."""
    rig = Rig(tmp_path, [])

    def late() -> object:
        rig.clock.now = 10_001.0
        raise GaveUp("Too late.")

    rig.conversation.steps[:] = [using(write()), late]  # type: ignore[list-item]
    finished = rig.run()

    assert (finished.outcome, finished.checks, rig.ran) == ("budget", (), [])
    assert paths(finished) == ["new.txt"]


@pytest.mark.parametrize(
    "budget",
    [Budget(turns=7), Budget(tokens=10_000), Budget(usd=Decimal("0.06"))],
    ids=["turns", "tokens", "usd"],
)
def test_the_model_hears_once_that_the_budget_ends(tmp_path: Path, budget: Budget) -> None:
    """Before any bound is reached, one message asks to come to an end."""
    steps = [using(write(f"{at}.txt")) for at in range(20)]
    rig = Rig(tmp_path, steps, budget=budget)
    rig.run()
    told = [at for at in range(len(rig.conversation.sent)) if STEER in rig.conversation.texts(at)]

    assert len(told) == 1


# --- a full context ----------------------------------------------------------------------------------


def test_a_conversation_near_its_room_goes_on_afresh_from_notes(tmp_path: Path) -> None:
    """The model writes notes, and a new conversation begins with the task, what is known, and these notes."""
    rig = Rig(
        tmp_path,
        [using(write()), saying("Wrote new.txt; the docs are left.")],
        room=5_000,
        more=[[using(finish())]],
    )
    first, second = rig.conversations
    first.tokens = 1_000
    steps = first.steps

    def grow() -> object:
        first.tokens = 6_000
        return using(write())

    steps[0] = grow  # type: ignore[assignment]
    finished = rig.run()

    assert finished.outcome == "done"
    assert first.texts(1) == [NOTES]
    assert first.results(1)[0].text.startswith("Wrote new.txt")
    task, known = second.texts(0)
    assert task == "Do it."
    assert "changed: new.txt" in known
    assert "the docs are left" in known
    assert rig.meter.calls == 3


def test_a_context_the_provider_calls_full_is_summed_up_without_the_last_results(tmp_path: Path) -> None:
    """The results that did not fit are left out when notes are asked for; without notes the facts go on alone."""
    full = saying(stop=Stop.CONTEXT)
    rig = Rig(tmp_path, [using(write()), full, full], more=[[using(finish())]])
    finished = rig.run()

    assert finished.outcome == "done"
    assert [one.text for one in rig.conversations[0].results(2)] == [NO_ROOM]
    assert "changed: new.txt" in rig.conversations[1].texts(0)[1]


def test_fresh_conversations_are_bounded(tmp_path: Path) -> None:
    """After two fresh ones a third full context ends the run as truncated, with the work kept."""
    full = saying(stop=Stop.CONTEXT)
    more = [[using(write(f"{at}.txt")), full, saying("notes")] for at in range(2)]
    rig = Rig(tmp_path, [using(write()), full, saying("notes")], more=more)
    finished = rig.run()

    assert (finished.outcome, rig.opened) == ("truncated", 3)
    assert paths(finished) == ["0.txt", "1.txt", "new.txt"]
    assert len(rig.conversations[2].texts(0)) == 2


def test_an_opening_that_does_not_fit_is_truncated_at_once(tmp_path: Path) -> None:
    """A fresh conversation cannot help when the task alone is too long."""
    rig = Rig(tmp_path, [saying(stop=Stop.CONTEXT)])

    assert (rig.run().outcome, rig.opened) == ("truncated", 1)


# --- records -----------------------------------------------------------------------------------------


def test_every_turn_call_and_answer_is_recorded(tmp_path: Path) -> None:
    """The transcript gets each turn with stop, usage and time, and each call before its answer."""
    rig = Rig(tmp_path, [using(write()), using(finish())])
    rig.run()
    told = [(kind, facts) for kind, facts in rig.records if kind in ("turn", "call", "answer")]

    assert [kind for kind, _ in told] == ["turn", "call", "answer", "turn", "call", "answer"]
    assert told[0][1]["usage"] == {"input": 1_000, "output": 100}
    assert told[0][1]["stop"] == "tools"
    assert told[1][1]["arguments"] == {"path": "new.txt", "content": "green\n"}


# --- reading for a plan ------------------------------------------------------------------------------


def reading(
    folder: Path, steps: list[object], *, budget: Budget | None = None
) -> tuple[ScriptedConversation, object]:
    rig = Rig(folder, steps, budget=budget or Budget())  # type: ignore[arg-type]
    toolbox = Toolbox(
        folder,
        tracked=[one.name for one in folder.iterdir()],
        run_check=rig.runner.run_check,
        check_ids=(),
        read_only=True,
        protected=lambda _: None,
    )
    turn = explore(rig.conversation, toolbox, rig.meter, (UserText(text="Plan."),), lambda *_: None)
    return rig.conversation, turn


def test_reading_ends_with_notes(tmp_path: Path) -> None:
    """The turn that ends in words is the result of the reading."""
    (tmp_path / "a.txt").write_text("a\n")
    _, turn = reading(tmp_path, [using(call("read_file", path="a.txt")), saying("a.txt holds a.")])

    assert turn == saying("a.txt holds a.")


def test_a_planner_that_looked_at_nothing_is_sent_back_once(tmp_path: Path) -> None:
    """Notes without a look at a repository that has files are asked for again."""
    (tmp_path / "a.txt").write_text("a\n")
    conversation, turn = reading(tmp_path, [saying("easy"), saying("still easy")])

    assert conversation.texts(1) == [LOOK_FIRST]
    assert turn == saying("still easy")


def test_an_empty_repository_needs_no_look(tmp_path: Path) -> None:
    """There is nothing to read before the first file."""
    conversation, _ = reading(tmp_path, [saying("Nothing is there yet.")])

    assert conversation.calls == 1


def test_reading_cannot_write(tmp_path: Path) -> None:
    """A planner that calls a writing tool is answered, and nothing is written."""
    conversation, _ = reading(tmp_path, [using(write()), saying("notes")])

    assert conversation.results(1)[0].is_error
    assert not (tmp_path / "new.txt").exists()


def test_a_reader_is_told_when_its_budget_ends(tmp_path: Path) -> None:
    """Near its bound the planner is asked for its notes; past it the run ends."""
    steps: list[object] = [using(call("list_files", path=None, depth=None)) for _ in range(9)]
    with pytest.raises(BudgetSpentError):
        reading(tmp_path, steps, budget=Budget(turns=4))
    conversation, _ = reading(tmp_path, [steps[0], saying("notes")], budget=Budget(turns=4))

    assert STEER_READING in conversation.texts(1)
