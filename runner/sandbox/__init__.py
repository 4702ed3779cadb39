"""An embedded Jira, GitHub, model and Automation engine on loopback. An extra: nothing imports it but the demo."""
