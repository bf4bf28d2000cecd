"""The page's pictures of reasons, in a real browser where there is one."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from modelyard.host import Explanation
from modelyard.serving.app import create_app
from modelyard.serving.launch import pasted_example
from modelyard.serving.page import render
from modelyard.serving.settings import Limits
from tests.browser import wait_for
from tests.service.payments import PaymentHost

EVIL = "<img src=x onerror=\"document.title='taken'\">"


def png(width: int) -> str:
    stream = BytesIO()
    Image.new("RGB", (width, 9), "red").save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


@contextmanager
def serving(package, limits: Limits | None = None) -> Iterator[str]:
    """The service on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(package, None, limits), log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def explained(browser, address: str) -> None:
    """Opens the page, clicks on Explain and waits for the bars."""
    browser.open(address)
    browser("document.querySelector('[data-path=explain]').click()")
    wait_for(lambda: browser("document.querySelectorAll('.bar').length"))


def explaining(monkeypatch, picture: str | None) -> None:
    found = Explanation(
        method=EVIL, output="risk", contributions={EVIL: 1.0, "amount": -0.5}, picture=picture
    )
    monkeypatch.setattr(PaymentHost, "explain", lambda self, run, request: found)


def test_a_picture_of_the_reasons_is_shown_beside_the_answer(payments, browser, monkeypatch):
    explaining(monkeypatch, png(37))
    with serving(payments) as address:
        explained(browser, address)
        wait_for(lambda: browser("document.querySelector('#reasons img').naturalWidth") == 37)
        assert browser("document.querySelector('#reasons img').alt") == f"{EVIL}: risk"
        assert browser("document.querySelectorAll('img').length") == 1
        assert browser("document.title") != "taken"
        browser("document.querySelector('[data-path=predict]').click()")
        wait_for(lambda: browser("document.querySelectorAll('img').length") == 0)


def test_the_page_opens_with_the_token_as_password_and_predicts(payments, browser):
    with serving(payments, Limits(token="s3cret")) as address:
        browser.do("Page.navigate", url=address.replace("//", "//anna:s3cret@"))
        wait_for(lambda: browser("document.querySelector('[data-path=predict]') !== null"))
        browser("document.querySelector('[data-path=predict]').click()")
        wait_for(
            lambda: '"risk score"' in str(browser("document.getElementById('answer').textContent"))
        )


def test_nothing_but_a_png_in_the_answer_becomes_a_picture(payments, browser, monkeypatch):
    pictures = [
        None,
        "",
        "https://example.com/a.png",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "javascript:alert(1)",
        png(5) + "\" onerror=\"document.title='taken'",
        f" {png(5)}",
        "favicon.ico",
        png(5).replace("png", "gif"),
    ]
    with serving(payments) as address:
        for picture in pictures:
            explaining(monkeypatch, picture)
            explained(browser, address)
            assert browser("document.querySelectorAll('img').length") == 0, picture
            assert browser("document.title") != "taken"


def test_the_policy_lets_pictures_come_from_the_answer_and_the_service_alone(payments):
    reply = TestClient(create_app(payments, None)).get("/")
    policy = dict(
        rule.split(" ", 1) for rule in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["img-src"] == "'self' data:"
    assert policy["default-src"] == "'none'"


def typed(browser, selector: str, value: str) -> None:
    """Types into a control as a person does: its value, and the event that tells of it."""
    found = f"document.querySelector({json.dumps(selector)})"
    browser(f"{found}.value = {json.dumps(value)}; {found}.dispatchEvent(new Event('input'))")


def sent(browser) -> Any:
    return json.loads(browser("document.getElementById('example').value"))


def test_the_form_and_the_json_say_the_same(payments, browser):
    with serving(payments) as address:
        browser.open(address)
        golden = payments.golden()["request"]
        assert (
            float(browser("document.querySelector('[data-field=amount]').value"))
            == golden["amount"]
        )
        assert browser("document.querySelector('[data-field=country]').value") == "FR"
        typed(browser, "[data-field=amount]", "12.5")
        typed(browser, "[data-field=country]", "")
        typed(browser, "[data-field='card country']", "IT")
        assert sent(browser) == {"amount": 12.5, "card": "4111", "card country": "IT"}
        typed(browser, "#example", '{"amount": 3, "country": "DE"}')
        assert browser("document.querySelector('[data-field=amount]').value") == "3"
        assert browser("document.querySelector('[data-field=card]').value") == ""
        for no_single in ("[{}]", "{", "null", "7"):
            typed(browser, "#example", no_single)
            assert browser("document.getElementById('form').hidden") is True, no_single
        typed(browser, "#example", "{}")
        assert browser("document.getElementById('form').hidden") is False


def test_an_answer_is_shown_in_words_and_a_refusal_in_red(payments, browser):
    with serving(payments) as address:
        browser.open(address)
        typed(browser, "[data-field=amount]", "12.5")
        browser("document.querySelector('[data-path=predict]').click()")
        wait_for(lambda: browser("document.getElementById('reasons').textContent"))
        assert browser("document.getElementById('reasons').textContent").startswith("risk score: ")
        assert json.loads(browser("document.getElementById('answer').textContent")).keys() == {
            "risk score"
        }
        typed(browser, "[data-field=amount]", "-1")
        browser("document.querySelector('[data-path=predict]').click()")
        wait_for(lambda: browser("document.getElementById('answer').className") == "bad")
        assert "amount" in browser("document.getElementById('answer').textContent")


def test_an_explanation_shows_the_answer_the_average_and_the_sign_of_each_reason(
    payments, browser, monkeypatch
):
    found = Explanation(
        method="Shapley values",
        output="risk",
        base=0.2,
        contributions={"amount": 0.5, "card": -0.1},
    )
    monkeypatch.setattr(PaymentHost, "explain", lambda self, run, request: found)
    with serving(payments) as address:
        explained(browser, address)
        shown = browser("document.getElementById('reasons').innerText")
        assert shown.startswith("risk score: ")
        assert "Shapley values: risk" in shown
        assert "0.2 on average, 0.6 for this example" in shown
        bars = browser("[...document.querySelectorAll('.bar span')].map(one => one.textContent)")
        assert bars == ["+0.500", "-0.100"]


def test_a_large_example_is_a_file_in_the_curl_line_not_kilobytes_to_scroll_over(
    payments, browser, monkeypatch, tmp_path
):
    golden = payments.golden()
    large = golden | {"request": golden["request"] | {"card": "A" * 30_000}}
    monkeypatch.setattr(type(payments), "golden", lambda self: large)
    shown = render(payments, explains=False, streams=False).at("http://here/predict")
    (tmp_path / "page.html").write_text(shown)
    browser.open((tmp_path / "page.html").as_uri())
    text = browser("document.body.innerText")
    assert "-d @example.json http://here/predict" in text
    assert len(text) < 5_000
    assert browser("document.body.scrollHeight") < 2_000
    assert sent(browser) == large["request"]


def test_the_example_that_curl_sends_is_a_file_where_it_is_large(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", "runs")
    request = {"image": "A" * 30_000}
    (tmp_path / "golden.json").write_text(json.dumps({"request": request}))
    assert pasted_example(tmp_path, "0123456789ab") == "@runs/examples/0123456789ab.json"
    assert json.loads((tmp_path / "runs/examples/0123456789ab.json").read_text()) == request
    (tmp_path / "golden.json").write_text('{"request": {"x": 1}}')
    assert pasted_example(tmp_path, "0123456789ab") == "'{\"x\": 1}'"


def test_the_mask_of_an_answer_lies_over_the_picture_of_the_request(payments, browser):
    mask = png(40)
    classes = [
        {"label": "water", "colour": "#2040ff", "share": 0.7},
        {"label": "land", "colour": "red; background: url(/x)", "share": 0.3},
    ]
    answer = json.dumps({"mask": mask, "classes": classes, "width": 40, "height": 10})
    with serving(payments) as address:
        browser.open(address)
        browser(f"show({answer})")
        assert browser("document.querySelectorAll('#reasons > img').length") == 1  # the mask alone
        assert browser("document.querySelectorAll('.boxes').length") == 0
        picture = f"Object.assign(new Image(), {{src: {json.dumps(png(80))}}})"
        browser(f"document.getElementById('form').append({picture})")
        browser(f"document.getElementById('reasons').replaceChildren(); show({answer})")
        wait_for(lambda: browser("document.querySelector('.boxes .mask').naturalWidth") == 40)
        sides = "JSON.stringify((one => [one.width, one.height])(document.querySelector('{}')"
        sizes = [
            browser(f"{sides.format(name)}.getBoundingClientRect()))")
            for name in (".boxes img", ".boxes .mask")
        ]
        assert sizes[0] == sizes[1]
        strength = "getComputedStyle(document.querySelector('.boxes .mask')).opacity"
        assert 0 < float(browser(strength)) < 1
        swatches = "[...document.querySelectorAll('#reasons td')].map(one => one.style.borderLeft)"
        seen = browser(f"JSON.stringify({swatches}.filter(Boolean))")
        assert json.loads(seen) == ["1.5rem solid rgb(32, 64, 255)"]


def test_boxes_of_an_answer_are_drawn_on_the_picture_of_the_request(payments, browser):
    found = [
        {"label": EVIL, "score": 0.87654, "box": {"left": 10, "top": 5, "width": 20, "height": 4}},
        {"label": "nowhere", "score": 0.5, "box": {"left": "1", "top": 0, "width": 1, "height": 1}},
    ]
    answer = json.dumps({"objects": found, "width": 40, "height": 10})
    with serving(payments) as address:
        browser.open(address)
        browser(f"show({answer})")
        assert browser("document.querySelectorAll('.boxes').length") == 0  # there is no picture
        picture = f"Object.assign(new Image(), {{src: {json.dumps(png(40))}}})"
        browser(f"document.getElementById('form').append({picture})")
        browser(f"document.getElementById('reasons').replaceChildren(); show({answer})")
        wait_for(lambda: browser("document.querySelector('.boxes img').naturalWidth") == 40)
        drawn = "document.querySelector('.boxes div').style"
        sides = [browser(f"{drawn}.{side}") for side in ("left", "top", "width", "height")]
        assert sides == ["25%", "50%", "50%", "40%"]
        assert browser("document.querySelectorAll('.boxes div').length") == 1
        said = browser("document.querySelector('.boxes span').textContent")
        assert said == f"{EVIL} 0.8765"
        assert browser("document.querySelectorAll('#reasons img').length") == 1
        assert browser("document.title") != "taken"
        assert browser("document.querySelectorAll('#reasons table tr').length") == 3


def test_spans_of_an_answer_are_marked_in_its_text(payments, browser):
    text = f"𝔘 Ada {EVIL} Bo"
    end = len(text)
    found = [
        {"start": end - 2, "end": end, "label": "second", "score": 0.5, "text": "Bo"},
        {"start": 2, "end": 5, "label": EVIL, "score": 0.98765, "text": "Ada"},
        {"start": 3, "end": 4, "label": "within", "score": 1, "text": "d"},
    ]
    with serving(payments) as address:
        browser.open(address)
        browser(f"show({json.dumps({'text': text, 'spans': found})})")
        marks = browser("[...document.querySelectorAll('.marks mark')].map(one => one.textContent)")
        assert marks == [f"Ada{EVIL} 0.9877", "Bosecond 0.5"]
        browser("document.querySelectorAll('.marks small').forEach(one => one.remove())")
        assert browser("document.querySelector('.marks').textContent") == text
        assert browser("document.title") != "taken"
        browser(f"show({json.dumps({'labels': ['red', EVIL]})})")
        shown = browser("[...document.querySelectorAll('#reasons .big')].at(-1).textContent")
        assert shown == f"labels: red, {EVIL}"


def test_a_text_is_shown_in_the_direction_of_its_script(payments, browser):
    direction = (
        "getComputedStyle([...document.querySelectorAll('#reasons .big b')].at(-1)).direction"
    )
    with serving(payments) as address:
        browser.open(address)
        for text, expected in (("قطة كبيرة!", "rtl"), ("a big cat!", "ltr")):
            browser(f"show({json.dumps({'translation': text})})")
            assert browser(direction) == expected
            typed(browser, "[data-field=card]", text)
            box = "getComputedStyle(document.querySelector('[data-field=card]')).direction"
            assert browser(box) == expected
