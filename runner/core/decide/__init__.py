"""All behaviour: ``decide(snapshot, policy, now, result=None)`` says what is due, purely and totally.

``view`` reads facts out of a snapshot, ``people`` finds who is next, ``sequence`` orders a family, ``rules``
has one rule per row of the behaviour table, first match wins, and ``results`` says what a model's result
or the evidence of an earlier run still needs. Nothing here reads a clock, a network or a disk.
"""

from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.engine import RunInfo, decide

__all__ = ["Decision", "Outcome", "RunInfo", "decide"]
