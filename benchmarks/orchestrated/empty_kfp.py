"""Seven components that do nothing, one after another, as a pipeline of Kubeflow."""

from kfp import compiler, dsl

STEPS = 7


@dsl.component(install_kfp_package=False)
def step(after: str) -> str:
    return after


@dsl.pipeline(name="empty")
def empty() -> None:
    done = step(after="")
    for _ in range(STEPS - 1):
        done = step(after=done.output)


if __name__ == "__main__":
    compiler.Compiler().compile(empty, "empty.yaml")
