"""An embedded, stateful Jira Cloud (REST v3) on loopback.

``records`` is what exists, ``state`` how it changes, ``projects`` how a project is set up, ``shapes`` and
``adf`` what is refused, ``tickets``, ``details`` and ``setup`` the operations, ``views`` how records
look, ``jql`` search, ``service`` the HTTP face.
"""

from runner.sandbox.jira.records import JiraEvent
from runner.sandbox.jira.service import JiraSandbox
from runner.sandbox.jira.state import JiraSite

__all__ = ["JiraEvent", "JiraSandbox", "JiraSite"]
