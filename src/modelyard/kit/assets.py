"""Parts of a family's assets: what one stage fits and the host reads, each a JSON file of its
own."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard.errors import BrokenArtifact


class Asset(BaseModel):
    """A JSON file of the assets folder. Subclasses name it in `FILE` and list what it holds as
    fields."""

    model_config = ConfigDict(frozen=True)

    FILE: ClassVar[str]
    """The file's name."""

    @classmethod
    def load(cls, assets: Path) -> Self:
        """Reads it from an assets folder.

        Raises:
            BrokenArtifact: it is missing, or its content is not what this version writes.
        """
        file = Path(assets) / cls.FILE
        try:
            # Bytes: where they are no UTF-8 pydantic says so, with all else that is wrong.
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise BrokenArtifact(
                f"{file} cannot be read: {error.strerror}. Run the stage that made it again"
            ) from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BrokenArtifact(
                f"{file}: {where}: {first['msg']}. Run the stage that made it again"
            ) from None

    @classmethod
    def load_or(cls, assets: Path, otherwise: Self) -> Self:
        """Reads it where there is one: for assets that a model may do without."""
        if (Path(assets) / cls.FILE).is_file():
            return cls.load(assets)
        return otherwise

    def save(self, assets: Path) -> None:
        """Writes it to an assets folder, which is made where it is missing."""
        folder = Path(assets)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
