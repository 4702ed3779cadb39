"""All behaviour: ``decide(snapshot, policy, now, result=None)`` says what is due, purely and totally.

``view`` reads facts out of a snapshot, ``people`` finds who is next, ``sequence`` orders a family. ``rules`` asks
one rule per row of the behaviour table in order, first match wins; the rows themselves are in ``parent_rules``,
``work_rules`` and ``pull_request_rules``, and ``finishing`` completes what a dead run left. ``results`` says what a
model's result still needs (``plan_results``, ``work_results``), ``evidence`` recognises an earlier run's result,
``errors`` is row 15. Nothing here reads a clock, a network or a disk.
"""

from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.engine import RunInfo, decide

__all__ = ["Decision", "Outcome", "RunInfo", "decide"]
