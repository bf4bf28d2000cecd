"""Dialogues as a checkpoint's own chat template writes them: what the model has already learned to
read, and the marks that it ends its messages with.

A template is a program in Jinja's language. It runs in Jinja's sandbox, and sees the roles of the
messages but never their words: a placeholder stands for each, so that the place of every word in the
rendered text is known, and a mark that a person types stays the characters that it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from modelyard.errors import BadData, MissingExtra, UsageError
from modelyard.families.language.chat import Message
from modelyard.kit.assets import Asset

if TYPE_CHECKING:
    from jinja2 import Template

OFF = "--set features.chat_template=false"
"""What leaves a template out."""
PLACE = re.compile("\ue000([0-9]+)\ue001")
"""The placeholder of a message, by its number: private characters, of which no template speaks."""
SPECIAL = re.compile("(bos|eos|unk|sep|pad|cls|mask)_token")
"""Fields of tokenizer_config.json that a template may name."""

TODAY = date(2024, 7, 26)
"""For templates that write the date: always the same, so that a dialogue is the same text every day,
in training and in serving."""


class ChatTemplate(Asset):
    """A checkpoint's template, as its package holds it."""

    FILE: ClassVar[str] = "chat_template.json"

    template: str
    """In Jinja's language."""
    tokens: dict[str, str]
    """Texts of the special tokens that it may name, such as `eos_token`."""

    @classmethod
    def of_checkpoint(cls, folder: Path) -> ChatTemplate | None:
        """What a folder in transformers' layout brings: chat_template.jinja, or the field of
        tokenizer_config.json; None where it has neither.

        Raises:
            UsageError: one of them cannot be read.
        """
        values = _settings(folder / "tokenizer_config.json")
        template = values.get("chat_template")
        if isinstance(template, list):
            # Several by name, such as one for calls of tools.
            named = {entry.get("name"): entry for entry in template if isinstance(entry, dict)}
            template = named.get("default", {}).get("template")
        file = folder / "chat_template.jinja"
        if file.is_file():
            try:
                template = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise UsageError(f"{file} is not UTF-8 text. Type: {OFF}") from None
        if not template:
            return None
        if not isinstance(template, str):
            problem = f"checkpoint {folder}: chat_template of tokenizer_config.json is no text"
            raise UsageError(f"{problem}. Type: {OFF}")
        tokens = {}
        for name, value in values.items():
            # A token is its text, or an object that describes how it is found.
            text = value.get("content") if isinstance(value, dict) else value
            if SPECIAL.fullmatch(name) and isinstance(text, str):
                tokens[name] = text
        return cls(template=template, tokens=tokens)


@dataclass(frozen=True)
class Rendered:
    """A dialogue as text."""

    text: str
    spans: list[tuple[int, int]]
    """Where the words of each message stand."""


class Renderer:
    """A template that is ready to run."""

    def __init__(self, template: ChatTemplate) -> None:
        """Raises UsageError: it is not Jinja's language, or that is not installed."""
        self._names = {"tools": None, "documents": None, **template.tokens}
        self._template = _compiled(template.template)

    def rendered(self, messages: Sequence[Message], *, asked: bool = False) -> Rendered:
        """A dialogue as text; `asked`: the assistant is to continue it.

        Raises:
            BadData: the template refuses the dialogue, or leaves a message out.
        """
        words, shown = [], []
        for number, message in enumerate(messages):
            core = message.content.strip()
            words.append(core)
            # Some templates strip messages: the blanks around the words are theirs to judge.
            before, after = _around(message.content, core)
            content = f"{before}\ue000{number}\ue001{after}"
            shown.append({"role": message.role, "content": content})
        text = self._render(shown, asked)
        return _filled(text, words, [message.role for message in messages])

    def _render(self, messages: list[dict[str, str]], asked: bool) -> str:
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=asked, **self._names
            )
        except Exception as error:  # a template is other people's program
            problem = f"the checkpoint's chat template refuses this dialogue: {error}"
            raise BadData(problem, column="messages") from None


def _around(content: str, core: str) -> tuple[str, str]:
    """The blanks before and behind the words of a message."""
    before = content[: len(content) - len(content.lstrip())]
    return before, content[len(before) + len(core) :]


def _filled(text: str, words: Sequence[str], roles: Sequence[str]) -> Rendered:
    """The words in the places that the template gave them.

    Raises:
        BadData: a message has no place, or several.
    """
    spans: dict[int, tuple[int, int]] = {}
    whole = ""
    at = 0
    for match in PLACE.finditer(text):
        whole += text[at : match.start()]
        at = match.end()
        number = int(match.group(1))
        if number in spans:
            raise _misplaced(number, roles, "repeats")
        spans[number] = (len(whole), len(whole) + len(words[number]))
        whole += words[number]
    for number in range(len(words)):
        if number not in spans:
            raise _misplaced(number, roles, "leaves out")
    return Rendered(whole + text[at:], [spans[number] for number in range(len(words))])


def _misplaced(number: int, roles: Sequence[str], does: str) -> BadData:
    problem = f"the checkpoint's chat template {does} message {number + 1}, of role {roles[number]}"
    return BadData(problem, column="messages")


def _settings(file: Path) -> dict[str, Any]:
    """What tokenizer_config.json holds; empty where there is none."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"checkpoint {file.parent}: {file.name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"checkpoint {file.parent}: {file.name} holds no JSON object")
    return values


def _compiled(template: str) -> Template:
    """What templates may use besides Jinja's own language is transformers' custom."""
    try:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ModuleNotFoundError:
        raise MissingExtra("a checkpoint's chat template", "serve") from None

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation()]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = TODAY.strftime
    try:
        return environment.from_string(template)
    except TemplateSyntaxError as error:
        raise UsageError(
            f"the checkpoint's chat template, line {error.lineno}: {error.message}. Type: {OFF}"
        ) from None


def _generation() -> type[Any]:
    """A block by which templates mark the assistant's words for training; we find them ourselves."""
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return Generation


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(problem: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(problem)
