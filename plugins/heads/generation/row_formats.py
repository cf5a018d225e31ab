"""Read the row formats of instructions and chats, with a class for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tlplug import Row
from tlplug_plugins.heads.generation.chat_messages import (
    chat_fault,
    column_fault,
    ends_with_answer,
    message,
    plain_messages,
)


class Format:
    """One form of rows."""

    columns: Mapping[str, str]
    targets: Sequence[str] = ()
    answering: str
    """The column that holds the answer."""

    def fault(self, row: Row) -> str | None:
        """Return what is wrong with a row, with the column's name in quotes; None if nothing is."""
        return column_fault(row, self.columns)

    def messages(self, row: Row) -> list[dict[str, str]]:
        """Return the row as a chat."""
        raise NotImplementedError

    def answer(self, row: Row) -> str | None:
        """Return the assistant's last message; None if the last message is the user's."""
        messages = self.messages(row)
        return messages[-1]["content"] if ends_with_answer(messages) else None

    def last_question(self, row: Row) -> str:
        """Return the user's last message."""
        return [each["content"] for each in self.messages(row) if each["role"] == "user"][-1]


class Messages(Format):
    columns = {"messages": "a chat: a list of {role: system, user or assistant; content: text}"}
    answering = "messages"

    def fault(self, row: Row) -> str | None:
        fault = chat_fault(row["messages"])
        return f"column 'messages' {fault}" if fault else None

    def messages(self, row: Row) -> list[dict[str, str]]:
        return plain_messages(row["messages"])


class Prompt(Format):
    columns = {"prompt": "what is asked", "completion": "its answer"}
    targets = ("completion",)
    answering = "completion"

    def messages(self, row: Row) -> list[dict[str, str]]:
        answer = [message("assistant", row["completion"])] if row.get("completion") is not None else []
        return [message("user", row["prompt"]), *answer]


class Text(Format):
    """No chat: all of the text is to be learnt."""

    columns = {"text": "a text, all of which is learnt"}
    answering = "text"

    def answer(self, row: Row) -> str | None:
        text: str = row["text"]
        return text


FORMATS: dict[str, Format] = {"messages": Messages(), "prompt": Prompt(), "text": Text()}
