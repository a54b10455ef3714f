"""What long texts became when they were scrubbed: with each call of a conversation most of it is sent again."""

from __future__ import annotations


class Remembered:
    """What texts became that were scrubbed lately.

    Args:
        most: characters of all of them, at most; when there are more, all are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str | None] = {}
        self.characters = 0

    def get(self, text: str) -> str | None:
        """What became of it, which is the same object where it stayed as it was; None where that is not known."""
        known = self._known.get(text, "")
        return text if known is None else known or None

    def add(self, text: str, scrubbed: str) -> None:
        """Remember a text."""
        if self.characters + len(text) > self._most:
            self.clear()
        self.characters += len(text)
        self._known[text] = None if scrubbed is text else scrubbed

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self.characters = 0
