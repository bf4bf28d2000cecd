"""Files that chat models are tuned with, as people download them: the same dialogues from each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard.errors import BadData
from modelyard.families.language.documents import Document, read_documents

ASKED = ["What is a list?", "What is\na tuple?"]
SAID = ["A row of things.", "A list, that stays."]


def messages(place: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": ASKED[place]},
        {"role": "assistant", "content": SAID[place]},
    ]


def shared(place: int) -> list[dict[str, str]]:
    return [{"from": "human", "value": ASKED[place]}, {"from": "gpt", "value": SAID[place]}]


ROWS: dict[str, list[dict[str, Any]]] = {
    "openai": [{"messages": messages(place)} for place in (0, 1)],
    "sharegpt": [{"id": str(place), "conversations": shared(place)} for place in (0, 1)],
    "alpaca": [{"instruction": ASKED[n], "input": "", "output": SAID[n]} for n in (0, 1)],
    "completions": [{"prompt": ASKED[n], "completion": SAID[n]} for n in (0, 1)],
    "answers": [{"question": ASKED[n], "answer": SAID[n], "source": "x"} for n in (0, 1)],
    "Capitals": [{"qtype": "x", "Question": ASKED[n], "Answer": SAID[n]} for n in (0, 1)],
    "trl": [{"prompt": messages(n)[:1], "completion": messages(n)[1:]} for n in (0, 1)],
}


def read(file: Path) -> list[Document]:
    return read_documents(file, "text", None)[0]


def as_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_list(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text(json.dumps(rows, indent=2))


def as_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("chat.jsonl", as_lines),
        ("chat.json", as_list),
        ("chat.json", as_lines),
        ("chat.parquet", as_parquet),
    ],
    ids=["jsonl", "json", "json lines", "parquet"],
)
def test_each_form_of_a_dialogue_is_the_same_dialogue(tmp_path: Path, rows, name, write) -> None:
    write(tmp_path / name, rows)
    found = read(tmp_path)
    assert [document.messages for document in found] == [messages(0), messages(1)]
    assert found[1].source == f"{name} row 2"


def test_a_csv_of_questions_and_answers_is_dialogues(tmp_path: Path) -> None:
    with (tmp_path / "faq.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer"])
        writer.writerows(zip(ASKED, SAID, strict=True))
    assert [document.messages for document in read(tmp_path)] == [messages(0), messages(1)]


def test_what_an_instruction_is_about_follows_it(tmp_path: Path) -> None:
    row = {"instruction": "Shorten.", "input": "a b c", "output": "a", "system": "Be brief."}
    as_lines(tmp_path / "a.jsonl", [row])
    (document,) = read(tmp_path)
    assert document.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Shorten.\n\na b c"},
        {"role": "assistant", "content": "a"},
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Who?", "context": "Ann came.", "response": "Ann"},
        {"question": "Who?", "context": "Ann came.", "answer": "Ann"},
        {"question": "Who?", "context": ["Ann", "came"], "answer": "Ann"},
        {"question": "Who?", "context": None, "answer": "Ann"},
    ],
)
def test_a_context_of_a_question_follows_it(tmp_path: Path, row: dict[str, Any]) -> None:
    as_lines(tmp_path / "a.jsonl", [row])
    (document,) = read(tmp_path)
    asked = "Who?\n\nAnn came." if isinstance(row["context"], str) else "Who?"
    assert document.messages is not None
    assert [message["content"] for message in document.messages] == [asked, "Ann"]


def test_a_system_prompt_next_to_messages_comes_first(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    rows = [
        {"system": "Be brief.", "conversations": shared(0)},
        {"system": "Not this.", "messages": [system, *messages(1)]},
    ]
    as_lines(tmp_path / "a.jsonl", rows)
    first, second = read(tmp_path)
    assert first.messages == [system, *messages(0)]
    assert second.messages == [system, *messages(1)]


def test_an_empty_cell_of_a_csv_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nsome words,a\n,b\n")
    with pytest.raises(BadData, match=r"row 2, column 'text': must be a text, seen null"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("instruction,input,output\nShorten.,,x\nShorten.,y,\n")
    with pytest.raises(BadData, match=r"row 2, column 'output': must be a text, seen null"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"conversations": [{"from": "narrator", "value": "x"}]},
            "column 'conversations': message 0.role",
        ),
        ({"conversations": "x"}, "column 'conversations': message all"),
        ({"conversations": ["x"]}, "column 'conversations': message 0"),
        ({"instruction": 3, "output": "x"}, "column 'instruction': must be a text, seen 3"),
        ({"prompt": "x", "completion": None}, "column 'completion': must be a text, seen null"),
        ({"prompt": "x", "completion": " "}, "column 'completion': the assistant says nothing"),
        ({"prompt": "x"}, "column 'text': the field is missing; seen: prompt"),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": 0}]},
            "message 0.weight",
        ),
    ],
)
def test_a_row_that_is_no_dialogue_is_named(tmp_path: Path, row: Any, said: str) -> None:
    as_lines(tmp_path / "chat.jsonl", [ROWS["openai"][0], row])
    with pytest.raises(BadData) as caught:
        read(tmp_path)
    assert "chat.jsonl, row 2, " in str(caught.value)
    assert said in str(caught.value)


def test_the_context_of_an_instruction_is_part_of_the_question(tmp_path: Path) -> None:
    row = {
        "instruction": "Where?",
        "context": "Ada is in Rome.",
        "response": "Rome",
        "category": "qa",
    }
    as_lines(tmp_path / "databricks-dolly-15k.jsonl", [row])
    (document,) = read(tmp_path)
    assert document.messages == [
        {"role": "user", "content": "Where?\n\nAda is in Rome."},
        {"role": "assistant", "content": "Rome"},
    ]


def test_parts_of_text_are_one_message(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "a list?"}]
    row = {"messages": [{"role": "user", "content": parts}, {**messages(0)[1], "weight": 1}]}
    as_lines(tmp_path / "chat.jsonl", [row])
    assert [document.messages for document in read(tmp_path)] == [messages(0)]


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                messages(0)[0],
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "21 C"},
                messages(0)[1],
            ],
            "tools": [CALL],
        },
        {"conversations": [*shared(0), {"from": "function_call", "value": "{}"}]},
    ],
)
def test_dialogues_that_call_tools_are_left_out_and_counted(tmp_path: Path, row: Any) -> None:
    as_lines(tmp_path / "chat.jsonl", [ROWS["openai"][1], row])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.messages for document in documents] == [messages(1)]
    assert dropped == {"the assistant calls tools": 1}
    as_lines(tmp_path / "chat.jsonl", [row])
    with pytest.raises(BadData, match="in every dialogue the assistant calls tools"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "write"), [("data/train-0.parquet", as_parquet), ("train.jsonl", as_lines)]
)
def test_a_readme_next_to_rows_is_not_the_text(tmp_path: Path, name: str, write: Any) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / name, [{"text": "one"}, {"text": "two"}])
    (tmp_path / "README.md").write_text("What these data are. " * 50)
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.text for document in documents] == ["one", "two"]
    assert dropped == {"files: of another kind": 1}


def test_a_readme_among_texts_is_a_text(tmp_path: Path) -> None:
    for name in ("README.md", "notes.md", "rows.csv"):
        (tmp_path / name).write_text(f"about {name}")
    assert [document.text for document in read(tmp_path)] == ["about README.md", "about notes.md"]


def test_a_text_field_is_a_text_whatever_stands_next_to_it(tmp_path: Path) -> None:
    as_lines(tmp_path / "a.jsonl", [{"text": "plain", "prompt": "x", "completion": "y"}])
    (document,) = read(tmp_path)
    assert (document.text, document.messages) == ("plain", None)


def test_tables_and_lists_next_to_texts_are_counted_not_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a text")
    as_list(tmp_path / "package.json", [{"prompt": "x", "completion": "y"}])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.text for document in documents] == ["a text"]
    assert dropped["files: of another kind"] == 1


def test_a_licence_next_to_rows_is_no_text_either(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE.txt"):
        (tmp_path / name).write_text("about the rows")
    as_parquet(tmp_path / "train.parquet", [{"text": "some words"}, {"text": "others"}])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.text for document in documents] == ["some words", "others"]
    assert dropped["files: of another kind"] == 2


def test_a_broken_list_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('[{"prompt": "x",\n "completion": }]')
    with pytest.raises(BadData, match=r"chat.json, row 2: is not JSON"):
        read(tmp_path)


def preferred(place: int) -> dict[str, Any]:
    return {"role": "assistant", "content": SAID[place]}


WORSE = {"from": "gpt", "value": "No idea."}


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": shared(0)[:1], "chosen": shared(0)[1], "rejected": WORSE},
        {"prompt": messages(0)[:1], "chosen": [preferred(0)], "rejected": [WORSE]},
        {"prompt": ASKED[0], "chosen": messages(0), "rejected": [messages(0)[0], WORSE]},
        {"prompt": ASKED[0], "chosen": SAID[0], "rejected": "No idea."},
        {"instruction": ASKED[0], "input": "", "chosen": SAID[0], "rejected": "No idea."},
    ],
    ids=["sharegpt", "trl", "whole", "texts", "alpaca"],
)
def test_of_two_answers_the_preferred_one_is_learned(tmp_path: Path, row: dict[str, Any]) -> None:
    as_list(tmp_path / "dpo.json", [row])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.messages for document in documents] == [messages(0)]
    assert dropped == {"answers: another one was preferred": 1}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"label": False}, "the answer is marked as bad (label is false)"),
        ({"images": ["1.jpg"]}, "about pictures, sounds or videos"),
    ],
)
def test_answers_that_are_none_to_learn_are_left_out(
    tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    rows = [{**ROWS["openai"][0], **more}, {**ROWS["openai"][1], "label": True, "images": []}]
    as_list(tmp_path / "kto.json", rows)
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.messages for document in documents] == [messages(1)]
    assert dropped == {reason: 1}
    as_list(tmp_path / "kto.json", rows[:1])
    with pytest.raises(BadData, match="holds no dialogue to learn from: each is left out"):
        read(tmp_path)


def test_a_list_next_to_a_text_is_part_of_its_row(tmp_path: Path) -> None:
    row = {"text": "A long story of a shop. " * 9, "items": [{"name": "tea"}, {"name": "milk"}]}
    (tmp_path / "story.json").write_text(json.dumps(row))
    (document,) = read(tmp_path)
    assert document.text.startswith("A long story")


def test_a_list_within_one_object_is_the_rows(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(json.dumps({"version": 1, "data": ROWS["openai"]}))
    assert [document.messages for document in read(tmp_path)] == [messages(0), messages(1)]


@pytest.mark.parametrize(
    "more",
    [{"label": False}, {"chosen": 1, "rejected": 0}, {"chosen": SAID[0], "rejected": None}],
    ids=["another label", "numbers", "nothing rejected"],
)
def test_a_label_or_choice_of_anything_else_leaves_a_dialogue(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    as_list(tmp_path / "rows.json", [{"question": ASKED[0], "answer": SAID[0], **more}])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.messages for document in documents] == [messages(0)]
    assert dropped == {}


def test_names_of_preferred_answers_may_have_any_case(tmp_path: Path) -> None:
    as_list(tmp_path / "dpo.json", [{"Prompt": ASKED[0], "Chosen": SAID[0], "Rejected": "No."}])
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [document.messages for document in documents] == [messages(0)]
    assert dropped == {"answers: another one was preferred": 1}
