"""Read chats and texts from rows, and describe errors in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tlplug import Row

ROLES = ("system", "user", "assistant")


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def plain_messages(messages: Sequence[Any]) -> list[dict[str, str]]:
    """Role and content alone: tables fill up what a message lacks and another has."""
    return [message(each["role"], each["content"]) for each in messages]


def ends_with_answer(messages: Sequence[Any]) -> bool:
    return bool(messages[-1]["role"] == "assistant")


def text_fault(text: object) -> str | None:
    """Return what is wrong with a text; None if nothing is."""
    if not isinstance(text, str):
        return f"should be text, but is {text!r}"
    return None if text.strip() else "is empty"


def column_fault(row: Row, columns: Iterable[str]) -> str | None:
    """Return what is wrong with the row's text columns among these; None if nothing is."""
    for column in columns:
        fault = text_fault(row[column]) if column in row else None
        if fault:
            return f"column '{column}' {fault}"
    return None


def chat_fault(messages: object) -> str | None:
    """Return what is wrong with a chat; None if nothing is."""
    if not isinstance(messages, list) or not messages:
        return f"should be a list of messages with role and content, but is {messages!r}"
    for number, each in enumerate(messages, start=1):
        if fault := _message_fault(each):
            return f"has a fault in message {number}, which {fault}"
    roles = [each["role"] for each in messages]
    if "system" in roles[1:]:
        return (
            f"has a system message at place {roles.index('system', 1) + 1}; only the first message can be one"
        )
    if "user" not in roles:
        return "has no user's message, which is what is to be answered"
    if "assistant" in roles[: roles.index("user")]:
        return "begins with the assistant; a user has to speak first"
    return None


def _message_fault(each: object) -> str | None:
    if not isinstance(each, dict) or not {"role", "content"} <= each.keys():
        return f"should have role and content, but is {each!r}"
    if each["role"] not in ROLES:
        return f"has the role {each['role']!r}; there is: {', '.join(ROLES)}"
    fault = text_fault(each["content"])
    return f"({each['role']}) {fault}" if fault else None
