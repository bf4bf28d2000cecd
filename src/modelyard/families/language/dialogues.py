"""Rows of the files that chat models are tuned with, as dialogues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modelyard.errors import BadData
from modelyard.families.language.chat import Message, words_of
from modelyard.kit.json_lines import text_of

MESSAGES = ("messages", "conversations", "conversation", "dialog", "dialogue")
"""Fields of a row that hold the messages of a dialogue: OpenAI's name, ShareGPT's, others'."""
PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("query", "answer"),
)
"""Fields that hold a question and what the assistant answers to it. Alpaca's `input`, next to an
`instruction`, and Dolly's `context` are what it is about."""
ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
}
"""What files call those who speak."""
TOOLS = ("tool", "function", "function_call", "observation")
"""What files call messages to and from tools: OpenAI's names, ShareGPT's."""
ANSWERS = {"instruction": "output", "prompt": "completion", "question": "answer", "query": "answer"}
"""Of a question, the field of its answer."""
CHOSEN, REJECTED = "chosen", "rejected"
SENSES = ("image", "images", "video", "videos", "audio", "audios")
"""Fields that name pictures and the like, which the messages are about."""
MARKED_BAD = "the answer is marked as bad (label is false)"
ABOUT_OTHERS = "about pictures, sounds or videos"
TOOLS_CALLED = "the assistant calls tools"
_DIALOGUE = TypeAdapter(list[Message])


def dialogue_of(value: Any, file: Path, row: int) -> list[Message] | None:
    """The messages of a row; None where it is no dialogue.

    Raises:
        BadData: a message that is none, or nothing that the assistant says.
    """
    if not isinstance(value, dict):
        return None
    # Tables of questions call their columns Question and Answer.
    names = {name.strip().lower(): name for name in value}
    known = _preferred({name: value[own] for name, own in names.items()})
    names = {name: names.get(name) or names[CHOSEN] for name in known}
    for column in MESSAGES:
        if column in known:
            messages = _with_system(_plain(known[column]), known)
            return _checked(messages, file, row, names[column])
    for question, answer in PAIRS:
        if question not in known or answer not in known:
            continue
        if isinstance(known[question], list) and isinstance(known[answer], list):
            # Both are messages, as the library TRL has them.
            messages = _plain([*known[question], *known[answer]])
        else:
            asked = text_of(value, names[question], file, row, "")
            answered = text_of(value, names[answer], file, row, "")
            messages = [
                {"role": "user", "content": _about(known, question, asked)},
                {"role": "assistant", "content": answered},
            ]
        return _checked(_with_system(messages, known), file, row, names[answer])
    return None


def _plain(value: Any) -> Any:
    """Messages as OpenAI writes them; ShareGPT's are `{"from": "human", "value": a text}`."""
    if not isinstance(value, list):
        return value
    found = []
    for message in value:
        if not isinstance(message, dict):
            return value
        role = message.get("role", message.get("from"))
        content = _joined(message.get("content", message.get("value")))
        others = {}
        for name, cell in message.items():
            if name in ("role", "from", "content", "value"):
                continue
            # A table has the fields of all its messages in each; those of tools are empty in most.
            is_empty = cell in (None, [])
            # OpenAI's weight 1 says that a message is learnt, as all are here; 0 is refused.
            is_learnt = (name, cell) == ("weight", 1)
            if not is_empty and not is_learnt:
                others[name] = cell
        known = ROLES.get(role, role) if isinstance(role, str) else role
        found.append({"role": known, "content": content, **others})
    return found


def _joined(content: Any) -> Any:
    """The text of a message that OpenAI writes as parts: `[{"type": "text", "text": "…"}]`."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            return content
        text = part.get("text")
        if not isinstance(text, str):
            return content
        texts.append(text)
    return "".join(texts)


def not_for_learning(value: Any) -> str | None:
    """Why a row's answer is none to learn; None where it is one."""
    if not isinstance(value, dict):
        return None
    if calls_tools(value):
        return TOOLS_CALLED
    # As the rows of KTO are marked, which says no answer is better, but which is good. Next to a question
    # and its answer a label may be of anything.
    is_kto = "completion" in value or not value.keys().isdisjoint(MESSAGES)
    if is_kto and value.get("label") is False:
        return MARKED_BAD
    if any(value.get(name) for name in SENSES):
        return ABOUT_OTHERS
    return None


def has_preference(value: Any) -> bool:
    """Whether a row holds two answers, of which one was preferred: texts or messages. Numbers are those
    of a choice between others."""
    if not isinstance(value, dict):
        return False
    known = {name.strip().lower(): cell for name, cell in value.items()}
    return all(isinstance(known.get(name), (str, list, dict)) for name in (CHOSEN, REJECTED))


def _preferred(known: dict[str, Any]) -> dict[str, Any]:
    """The fields of such a row with the preferred answer only."""
    if not has_preference(known):
        return known
    answer = known[CHOSEN]
    others = {name: cell for name, cell in known.items() if name not in (CHOSEN, REJECTED)}
    if isinstance(answer, dict):
        answer = [answer]
    if isinstance(answer, list) and len(answer) > 1:
        # The whole dialogue, which begins with what `prompt` says too.
        return {"messages": answer, **{n: c for n, c in others.items() if n not in MESSAGES}}
    for column in MESSAGES:
        if isinstance(others.get(column), list) and isinstance(answer, list):
            return {**others, column: [*others[column], *answer]}
    for question, _ in PAIRS:
        if question in others:
            return {**others, ANSWERS[question]: answer}
    return others


def calls_tools(value: Any) -> bool:
    """Whether a row is a dialogue in which the assistant calls tools or functions: there are no marks
    for them, and without them the dialogue would be another one."""
    if not isinstance(value, dict):
        return False
    for column in MESSAGES:
        messages = value.get(column)
        if isinstance(messages, list):
            return any(isinstance(message, dict) and _is_of_tools(message) for message in messages)
    return False


def _is_of_tools(message: dict[str, Any]) -> bool:
    role = message.get("role", message.get("from"))
    called = message.get("tool_calls") or message.get("function_call")
    return bool(called) or role in TOOLS


def _about(value: dict[str, Any], question: str, asked: str) -> str:
    """A question with what it is about, where the row says so."""
    fields = ["context"]
    if question == "instruction":
        fields.append("input")
    for field in fields:
        about = value.get(field)
        if isinstance(about, str) and about:
            asked = f"{asked}\n\n{about}"
    return asked


def _with_system(messages: Any, value: dict[str, Any]) -> Any:
    """Messages behind the system prompt that a row may hold in a field of its own."""
    system = value.get("system")
    if not system or not isinstance(messages, list):
        return messages
    if any(isinstance(message, dict) and message.get("role") == "system" for message in messages):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _checked(value: Any, file: Path, row: int, column: str) -> list[Message]:
    try:
        messages = _DIALOGUE.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all"
        problem = f"message {place}: {first['msg']}"
        hint = 'A message is {"role": "system", "user" or "assistant", "content": a text}'
        raise BadData(problem, file=file, row=row, column=column, hint=hint) from None
    if not words_of(messages).strip():
        problem = "the assistant says nothing, so there is nothing to learn"
        raise BadData(problem, file=file, row=row, column=column)
    return messages
