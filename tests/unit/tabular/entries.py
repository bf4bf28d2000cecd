"""Small runs of kinds and tasks that the family's debug run does not have, for the contract's
checks."""

from __future__ import annotations

from modelyard.families.tabular.config import TabularConfig, TabularFeatures, TabularModel
from modelyard.family import Entry

FAMILY = "modelyard.families.tabular"


def entry(sample: str, **model: object) -> Entry[TabularConfig]:
    """The family with a debug run on a built-in table."""

    class Small(TabularConfig):
        """A run of seconds."""

        @classmethod
        def debug(cls) -> TabularConfig:
            return TabularConfig(
                features=TabularFeatures.model_validate({"sample": sample}),
                model=TabularModel.model_validate({"trees": 30, "max_leaves": 8, **model}),
            )

    return Entry(
        "a small run",
        Small,
        data=f"{FAMILY}.data:TabularData",
        build=f"{FAMILY}.family:Tabular",
        host=f"{FAMILY}.host:TabularHost",
    )


intervals = entry("diabetes", kind="lightgbm", learning_rate=0.1)
tree = entry("breast_cancer", kind="tree")
svm = entry("breast_cancer", kind="svm")
svm_regression = entry("diabetes", kind="svm")
bagging = entry("diabetes", kind="bagging")
stack = entry("breast_cancer", kind="stack")
stack_regression = entry("diabetes", kind="stack")
