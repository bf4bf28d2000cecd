import pytest

from modelyard.errors import UsageError
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.settings.family import (
    FamilyConfig,
    Settings,
    config_hash,
    parse_assignments,
    read_params,
    resolve,
)


class Model(Settings):
    kind: str = "small"
    """Which."""
    depth: int = 3
    """How deep."""


class Config(FamilyConfig):
    model: Model = Model()


def test_later_layers_win_field_by_field():
    config = resolve(
        Config,
        ("params.yaml", {"model": {"kind": "big", "depth": 5}}),
        ("--set", {"model": {"depth": 9}}),
    )
    assert (config.model.kind, config.model.depth, config.seed) == ("big", 9, 0)


def test_one_field_set_leaves_the_defaults_that_a_family_gave_its_section():
    class Deep(FamilyConfig):
        model: Model = Model(kind="big", depth=7)

    config = resolve(Deep, ("--set", {"model": {"kind": "small"}}))
    assert (config.model.kind, config.model.depth) == ("small", 7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("a b", "a b"),
        ("", ""),
        ("s3://b/c", "s3://b/c"),
        ("yes", "yes"),
        ("off", "off"),
        ("False", False),
        ("translate to German: ", "translate to German: "),
        ("{a: b}", {"a": "b"}),
    ],
)
def test_assigned_values_are_read_as_yaml(text, value):
    assert parse_assignments([f"a.b={text}"]) == {"a": {"b": value}}


class Labels(Settings):
    positive: str | None = None
    refit: bool = False
    rounds: int = 1


@pytest.mark.parametrize(
    ("text", "positive"),
    [("yes", "yes"), ("no", "no"), ("1", "1"), ("true", "true"), ("'0'", "0"), ("null", None)],
)
def test_a_class_is_called_what_a_person_types(text, positive):
    class Named(FamilyConfig):
        labels: Labels = Labels()

    config = resolve(Named, ("--set", parse_assignments([f"labels.positive={text}"])))
    assert config.labels.positive == positive
    for word, wanted in (("yes", True), ("off", False), ("true", True)):
        config = resolve(Named, ("--set", parse_assignments([f"labels.refit={word}"])))
        assert config.labels.refit is wanted
    with pytest.raises(UsageError, match=r"labels\.rounds"):
        resolve(Named, ("--set", parse_assignments(["labels.rounds=many"])))


@pytest.mark.parametrize(
    "text", ["1.10", "0123456", "007", "1_000", "12:30", "2026-01-01", "1.0e+3", "12", "0.5"]
)
def test_a_text_that_looks_like_a_number_stays_as_it_was_written(tmp_path, text):
    """Else `--set data.rev=1.10` is another tag, and 0123456, read as octal, another commit."""
    (tmp_path / "params.yaml").write_text(f"line:\n  data:\n    rev: {text}\n")
    given = [parse_assignments([f"data.rev={text}"]), read_params(tmp_path / "params.yaml", "line")]
    for layer in given:
        assert resolve(FamilyConfig, ("--set", layer)).data.rev == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.50", 0.5), ("1.0e+3", 1000.0), ("+2", 2.0), (".5", 0.5), ("-0", 0.0), ("1_0", 10.0)],
)
def test_numbers_may_be_written_in_any_way(text, value):
    config = resolve(FamilyConfig, ("--set", parse_assignments([f"gate.threshold={text}"])))
    assert config.gate.threshold == value
    assert resolve(FamilyConfig, ("--set", parse_assignments(["seed=007"]))).seed == 7
    longest = parse_assignments(["evaluation.seconds=.inf"])
    assert resolve(FamilyConfig, ("--set", longest)).evaluation.seconds == float("inf")


def test_the_values_of_a_chart_are_numbers_where_yaml_has_numbers(tmp_path):
    """The chart's schema refuses the text "0.10" for a share."""
    written = """{predictions: {sample: 0.10}, shares: [1.0e-3], image: {tag: "1.10"}, user: 007}"""
    (tmp_path / "params.yaml").write_text(f"line: {{serve: {{values: {written}}}}}")
    given = [
        parse_assignments([f"serve.values={written}"]),
        read_params(tmp_path / "params.yaml", "line"),
    ]
    for layer in given:
        assert resolve(FamilyConfig, ("--set", layer)).serve.values == {
            "predictions": {"sample": 0.1},
            "shares": [0.001],
            "image": {"tag": "1.10"},
            "user": 7,
        }


def test_a_params_file_in_another_encoding_is_one_clear_line(tmp_path):
    (tmp_path / "params.yaml").write_bytes("line:\n  model:\n    kind: gro\xdf\n".encode("latin-1"))
    with pytest.raises(UsageError, match="params.yaml is not YAML: 'utf-8' codec"):
        read_params(tmp_path / "params.yaml", "line")


def test_a_misspelt_setting_is_answered_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"--set: setting 'model.knid' is unknown. Did you mean 'model.kind'\?"
    ):
        resolve(Config, ("--set", {"model": {"knid": "x"}}))


@pytest.mark.parametrize(
    "path", [["taks"], ["model", "taks"], ["task"], ["data", "task"], ["no", "task"]]
)
def test_a_setting_without_its_section_or_in_another_is_answered_with_the_whole_name(path):
    from modelyard.families.text.config import TextConfig

    asked = "tag"
    for part in reversed(path):
        asked = {part: asked}
    with pytest.raises(UsageError) as refused:
        resolve(TextConfig, ("--set", asked))
    assert "Did you mean 'features.task'?" in str(refused.value)
    assert "--all" in str(refused.value)
    assert len(str(refused.value)) < 350


def test_a_wrong_value_names_its_setting_its_source_and_itself():
    with pytest.raises(UsageError, match=r"params.yaml: setting 'model.depth' = 'deep'"):
        resolve(Config, ("params.yaml", {"model": {"depth": "deep"}}), ("--set", {"seed": 3}))


def test_an_assignment_without_a_value_says_what_to_type():
    with pytest.raises(UsageError, match="--set model.kind=mlp"):
        parse_assignments(["model.kind"])


def test_params_of_another_family_do_not_matter(tmp_path):
    (tmp_path / "params.yaml").write_text("other: {seed: 3}\n")
    assert read_params(tmp_path / "params.yaml", "line") == {}
    assert read_params(tmp_path / "absent.yaml", "line") == {}


@pytest.mark.parametrize("text", ["line: 3", "- a", "line: [", "line: {a"])
def test_a_broken_params_file_is_one_clear_line(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UsageError, match="params.yaml"):
        read_params(tmp_path / "params.yaml", "line")


def test_a_config_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3


def test_the_hash_of_sections_ignores_the_others():
    other = resolve(Config, ("--set", {"model": {"depth": 9}}))
    assert config_hash(Config()) != config_hash(other)
    assert config_hash(Config(), ["data", "seed"]) == config_hash(other, ["seed", "data"])
    assert config_hash(Config(), ["model"]) != config_hash(other, ["model"])


def test_one_name_is_a_list_of_one_where_several_may_be_given():
    one = AnomalyConfig.model_validate({"features": {"drop": "Time"}})
    assert one == AnomalyConfig.model_validate({"features": {"drop": ["Time"]}})
    assert one.features.drop == ("Time",)
