"""An embedded, stateful GitHub: REST, the little GraphQL we use, and a real bare repository over smart HTTP.

``service`` takes requests, ``routing`` and the ``rest_*`` modules answer REST, ``graphql`` answers GraphQL,
``hub`` holds the state and does what GitHub does with it, ``repository`` runs git, ``views`` writes the JSON.
"""

from runner.sandbox.github.repository import git_environment
from runner.sandbox.github.service import AnswerLost, GitHubSandbox
from runner.sandbox.github.state import GitHubEvent, Pull, TickingClock, Token, User, WorkflowRun

__all__ = [
    "AnswerLost",
    "GitHubEvent",
    "GitHubSandbox",
    "Pull",
    "TickingClock",
    "Token",
    "User",
    "WorkflowRun",
    "git_environment",
]
