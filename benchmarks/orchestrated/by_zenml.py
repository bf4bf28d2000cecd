"""Seven steps that do nothing, by ZenML with its local orchestrator."""

from zenml import pipeline, step


@step(enable_cache=False)
def nothing(before: int) -> int:
    return before


@pipeline(enable_cache=False)
def empty() -> None:
    done = nothing(before=0)
    for _ in range(6):
        done = nothing(before=done)


if __name__ == "__main__":
    empty()
