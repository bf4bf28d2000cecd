"""A package that is to answer in another's place: looked at as data first, then compared with
what callers send."""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import UsageError
from modelyard.judging.compare import difference
from modelyard.packages.package import Package, verify
from modelyard.packages.trust import Trust
from modelyard.serving import schemas

SHOWN = 5


def check_answer(package: Package, tolerance: float) -> None:
    """Raises UsageError where a package, on its device here, does not give its own answer to its
    own example."""
    golden = package.golden()
    (answer,) = package.predict([golden["request"]])
    given = answer.model_dump(mode="json", by_alias=True)
    if found := difference(golden["response"], given, tolerance):
        raise UsageError(
            f"{package.path} does not give its own answer on {package.place}: {found}, more than "
            f"{tolerance:g} apart. Serve it with --device cpu, or set MODELYARD_TOLERANCE"
        )


def opened(
    path: Path,
    old: Package,
    *,
    breaking: bool,
    threads: int | None = None,
    trust: Trust | None = None,
) -> Package:
    """The package at `path`, fit to answer in the place of `old`; `old` itself where it is the same
    one.

    Its family's code is that of `old`, which runs here already: no other is imported.

    Raises:
        BrokenArtifact: it is not whole, was changed, or is not signed where that is required.
        UsageError: it is of another family; or, unless `breaking`, refuses requests that `old`
            answers.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder on this machine")
    trust = (trust if trust is not None else Trust.from_environment()).naming(old.info.family)
    verified = verify(path, trust)
    if verified.manifest.digest == old.manifest.digest:
        return old
    if verified.info.family != old.info.family:
        raise UsageError(
            f"{path} is of family {verified.info.family!r}; here serves {old.info.family!r}"
        )
    new = Package(verified, threads=threads, trust=trust, device=old.place)
    if not breaking and (problems := schemas.breaks(old.host, new.host)):
        if len(problems) > SHOWN:
            more = f" and {len(problems) - SHOWN} more"
        else:
            more = ""
        raise UsageError(
            f"{path} would break callers: {'; '.join(problems[:SHOWN])}{more}. To swap all the same send "
            '"breaking": true, or set MODELYARD_BREAKING_SWAPS=1'
        )
    return new
