"""GET /: one page, nothing loaded from elsewhere, to see what is served and to try it."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from string import Template

from modelyard.package import Package

ADDRESS = "@@address@@"
"""Stands in the page where the address of /predict goes."""

_STYLE = """
:root{color-scheme:light dark;--line:#8885;--accent:#2b6cb0}
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
h1{margin:0;font-size:1.6rem}p.sub{margin:.2rem 0 1.5rem;opacity:.75}
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem 1.2rem .25rem 0;
border-bottom:1px solid var(--line)}td.n{text-align:right;font-variant-numeric:tabular-nums}
textarea,pre{width:100%;box-sizing:border-box;font:14px/1.45 ui-monospace,monospace;border:1px solid var(--line);
border-radius:6px;padding:.7rem;background:transparent;color:inherit}
pre{overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}button{font:inherit;padding:.4rem 1.1rem;
border-radius:6px;border:1px solid var(--accent);background:var(--accent);color:#fff;cursor:pointer;
margin:.5rem .5rem 0 0}
#reasons img{display:block;max-width:100%;margin:.7rem 0;border-radius:6px}
#answer.bad{border-color:#c53030}.bar{display:flex;align-items:center;gap:.6rem;margin:.15rem 0}
.bar b{font-weight:400;width:16rem;overflow-wrap:anywhere}.bar i{display:block;height:.8rem;border-radius:3px}
"""

_SCRIPT = """
const el = id => document.getElementById(id);
async function send(path) {
  el("reasons").replaceChildren();
  const answer = el("answer");
  answer.className = "";
  answer.textContent = "…";
  try {
    const reply = await fetch(path, {method: "POST", headers: {"content-type": "application/json"},
                                     body: el("example").value});
    const body = await reply.json();
    if (reply.ok && path === "explain") { answer.textContent = body.method + ": " + body.output; draw(body); }
    else answer.textContent = JSON.stringify(body, null, 2);
    if (!reply.ok) answer.className = "bad";
  } catch (error) { answer.className = "bad"; answer.textContent = String(error); }
}
function draw(body) {
  // A PNG in the answer itself and nothing else: text of a package must not make the page load anything.
  if (/^data:[a-z]+\\/png;base64,[A-Za-z0-9+\\/]+={0,2}$/.test(body.picture ?? "")) {
    const picture = document.createElement("img");
    picture.src = body.picture;
    picture.alt = body.method + ": " + body.output;
    el("reasons").append(picture);
  }
  const rows = Object.entries(body.contributions).slice(0, 20);
  const most = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-12);
  for (const [name, value] of rows) {
    const row = document.createElement("div"), label = document.createElement("b"),
          bar = document.createElement("i"), number = document.createElement("span");
    row.className = "bar";
    label.textContent = name;
    bar.style.width = 40 * Math.abs(value) / most + "%";
    bar.style.background = value < 0 ? "#315cc4" : "#d63027";
    number.textContent = value.toPrecision(3);
    row.append(label, bar, number);
    el("reasons").append(row);
  }
}
for (const button of document.querySelectorAll("button"))
  button.addEventListener("click", () => send(button.dataset.path));
"""

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>$title $version</title><style>$style</style></head><body>
<h1>$title</h1>
<p class="sub">family <code>$family</code>, package <code>$version</code>, made by run <code>$run</code>
on $created, serving <code>$variant</code></p>
<table><tr><th>metric (test split)</th><th>model</th><th>baseline</th></tr>$metrics</table>
<p>Gate: $gate</p>
<h2>Try it</h2>
<label for="example">One example, or a list of them, as JSON</label>
<textarea id="example" rows="$rows" spellcheck="false">$example</textarea>
<div>$buttons</div>
<pre id="answer" aria-live="polite">The answer comes here.</pre><div id="reasons"></div>
<h2>From a shell</h2>
<pre>curl -H 'content-type: application/json' -d '$shell' $address</pre>
<p><a href="openapi.json">openapi.json</a> · <a href="package">package</a> · <a href="metrics">metrics</a></p>
<script>$script</script></body></html>
""")


def render(package: Package, *, explains: bool) -> tuple[str, str]:
    """The page, with ADDRESS in it, and its content security policy."""
    info, golden = package.info, package.golden()["request"]
    example = json.dumps(golden, indent=2, ensure_ascii=False)
    buttons = '<button data-path="predict">Predict</button>'
    buttons += '<button data-path="explain">Explain</button>' if explains else ""
    text = _PAGE.substitute(
        title=escape(info.title), version=escape(info.version), family=escape(info.family), run=escape(info.run),
        created=escape(info.created), variant=escape(info.chosen.name), gate=escape(info.gate.reason),
        metrics=_metrics(info.metrics, info.baseline), rows=min(24, example.count("\n") + 2), example=escape(example),
        buttons=buttons, shell=escape(json.dumps(golden).replace("'", "'\\''")), address=ADDRESS,
        style=_STYLE, script=_SCRIPT,
    )  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _metrics(metrics: dict[str, float], baseline: dict[str, float]) -> str:
    return "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{value:.4g}</td>'
        f'<td class="n">{f"{baseline[name]:.4g}" if name in baseline else "–"}</td></tr>'
        for name, value in metrics.items()
    )
