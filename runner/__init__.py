"""One run, from an event to a state that needs no further run.

An event names a Jira ticket and nothing else is believed of it. ``gather`` reads Jira
and GitHub into one frozen snapshot and ``decide`` says what is due. If a model is
needed, ``think`` works on a checkout of exact commits with no secret but the model's
key and leaves typed results. ``publish`` reads everything again, decides with that
result in hand, and applies effects, each of which first asks whether it is already
true. All state lives in Jira labels, comment markers and pull-request metadata, so a
run that dies at any point is finished by the next one.
"""

__version__ = "0.1.0"
