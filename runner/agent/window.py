"""How long a conversation with a model may become before a fresh one is worth more."""

from __future__ import annotations

from runner.core.prices import price_of
from runner.core.work import ModelChoice

# Input tokens by the longest matching beginning of the model's name; a name nobody listed gets the least.
WINDOWS = {
    "claude-haiku-4": 200_000,
    "claude-opus-4-5": 200_000,
    "claude-sonnet-4-5": 200_000,
    "claude-": 1_000_000,
    "gpt-5.4-mini": 272_000,
    "gpt-": 922_000,
}
UNKNOWN_WINDOW = 128_000
LEAST = 16_000


def room_of(choice: ModelChoice) -> int:
    """Prompt tokens up to which a conversation goes on: what fits with an answer, and before its price jumps."""
    name = choice.model
    known = max((start for start in WINDOWS if name.startswith(start)), key=len, default="")
    window = WINDOWS.get(known, UNKNOWN_WINDOW)
    # OpenAI's windows count input alone, Anthropic's the answer too.
    fits = window if choice.provider == "openai" else window - choice.max_output_tokens
    price = price_of(name)
    jumps = price.long_above if price is not None else None
    return max(min(fits, jumps or fits), LEAST)
