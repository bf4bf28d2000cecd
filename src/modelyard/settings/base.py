"""The base of every section of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from modelyard import credentials
from modelyard.errors import UsageError


class NumberAsWritten(str):
    """A number of a person's YAML that Python would write otherwise, such as `1.10`: a setting that
    is text has it as it was written."""

    number: float
    """What YAML reads the text as."""

    def __new__(cls, text: str, number: float) -> Self:
        written = super().__new__(cls, text)
        written.number = number
        return written

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and pickled with its number.
        return NumberAsWritten, (str(self), self.number)


class Settings(BaseModel):
    """Base of every section: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        # A default is checked as a setting is: a family's may be wrong too.
        validate_default=True,
        # A class, a tag or a column may be called `7`, which YAML reads as a number.
        coerce_numbers_to_str=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_credentials(cls, values: Any) -> Any:
        """Raises UsageError for a credential in any URI, whatever the setting: none takes one."""
        for name, text in credentials.texts(values):
            refuse_credentials(text, f"setting {name!r}")
        return values

    @model_validator(mode="before")
    @classmethod
    def _words(cls, values: Any) -> Any:
        """`true` and `false` where a text is wanted are these words: a class may be called so. One
        name where several may be given is a list of one."""
        if not isinstance(values, Mapping):
            return values
        found = dict(values)
        for name, field in cls.model_fields.items():
            is_text = field.annotation is str or field.annotation == (str | None)
            if is_text and isinstance(values.get(name), bool):
                found[name] = str(values[name]).lower()
            if field.annotation == tuple[str, ...] and isinstance(values.get(name), str):
                found[name] = (values[name],)
        return found


def refuse_credentials(text: str, called: str) -> None:
    """Raises UsageError for a text with a credential in it; the message does not repeat it."""
    if (held := credentials.found(text)) is not None:
        raise UsageError(
            f"{called} = {credentials.redact(text)[:200]!r} holds {held}. {credentials.ADVICE}"
        )


def refuse_secret_variables(environment: Mapping[str, Any], instead: str) -> None:
    """Raises UsageError for a variable whose name says that it holds a credential; its value is
    not repeated."""
    for name, value in environment.items():
        if value and credentials.is_secret_name(name):
            raise UsageError(
                f"variable {name} would be recorded with the model, credential and all: {instead}"
            )
