"use strict";
const el = id => document.getElementById(id);
const FIELDS = JSON.parse(el("fields").textContent);
const MOST = 20, LONGEST = 2000;
const BIG = new Set(["text", "label", "translation", "answer"]);

function made(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) { node.textContent = text; node.dir = "auto"; }
  if (name) node.className = name;
  return node;
}

// The form writes into the text and the text into the form: what is sent is always the text.

const inputs = new Map();

function control(field) {
  const node = controlled(field);
  if (["text", "long", "any"].includes(field.kind)) node.dir = "auto";
  return node;
}

function controlled(field) {
  let node;
  if (field.kind === "choice") {
    node = made("select");
    for (const choice of field.required ? field.choices : ["", ...field.choices]) node.append(made("option", choice));
  } else if (field.kind === "long" || field.kind === "json") {
    node = made("textarea");
    node.rows = field.kind === "long" ? 5 : 3;
    node.spellcheck = false;
  } else {
    node = made("input");
    node.type = {number: "number", boolean: "checkbox", file: "file"}[field.kind] ?? "text";
    if (field.kind === "number") node.step = field.whole ? "1" : "any";
    if (field.kind === "file") node.accept = field.accept;
  }
  return node;
}

function build() {
  for (const field of FIELDS) {
    const label = made("label", field.name, ["long", "json", "file"].includes(field.kind) ? "wide" : "");
    const node = control(field);
    label.append(node);
    if (field.description) label.append(made("small", field.description));
    node.dataset.field = field.name;
    if (field.default !== null) node.placeholder = field.default;
    node.addEventListener(field.kind === "file" ? "change" : "input", () => taken(field, node));
    inputs.set(field.name, node);
    el("form").append(label);
  }
}

async function taken(field, node) {
  const body = parsed();
  if (body === undefined) return;
  const value = field.kind === "file" ? await base64(node.files[0]) : read(field, node);
  if (value === undefined) delete body[field.name]; else body[field.name] = value;
  el("example").value = JSON.stringify(body, null, 2);
  if (field.kind === "file") preview(field, node, value);
}

function read(field, node) {
  if (field.kind === "boolean") return node.checked;
  const text = node.value;
  if (text === "" && !(field.required && ["text", "long"].includes(field.kind))) return undefined;
  if (field.kind === "number") return Number(text);
  if (field.kind === "text" || field.kind === "long" || field.kind === "choice") return text;
  try { return JSON.parse(text); } catch { return text; }
}

function base64(file) {
  return new Promise((done, failed) => {
    if (!file) { done(undefined); return; }
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

// What the bytes say they are: the first letters of the base64 of PNG, JPEG, WebP or WAV (both RIFF), BMP, GIF, OGG, MP3.
const KINDS = [["iVBOR", "image/png"], ["/9j/", "image/jpeg"], ["UklGR", "riff"], ["Qk", "image/bmp"], ["R0lG", "image/gif"],
               ["T2dn", "audio/ogg"], ["SUQz", "audio/mpeg"], ["//", "audio/mpeg"], ["ZkxhQ", "audio/flac"]];

function preview(field, node, value) {
  node.parentElement.querySelector("img, audio")?.remove();
  const data = String(value ?? "").replace(/^data:[^,]*,/, "");
  let type = KINDS.find(([head]) => data.startsWith(head))?.[1];
  if (type === "riff") type = atob(data.slice(0, 16)).slice(8) === "WAVE" ? "audio/wav" : "image/webp";
  if (!type || !/^[A-Za-z0-9+/]+={0,2}$/.test(data)) return;
  const shown = made(type.startsWith("image") ? "img" : "audio");
  shown.src = `data:${type};base64,${data}`;
  if (shown.tagName === "AUDIO") shown.controls = true; else shown.alt = field.name;
  node.after(shown);
}

function parsed() {
  try {
    const body = JSON.parse(el("example").value);
    return body !== null && typeof body === "object" && !Array.isArray(body) ? body : undefined;
  } catch { return undefined; }
}

function fill() {
  const body = parsed();
  el("form").hidden = body === undefined;
  if (body === undefined) return;
  for (const field of FIELDS) {
    const node = inputs.get(field.name), value = body[field.name];
    if (field.kind === "boolean") node.checked = (value ?? field.default) === true;
    else if (field.kind === "file") preview(field, node, value);
    else if (value === undefined || value === null) node.value = "";
    else node.value = typeof value === "string" ? value : JSON.stringify(value);
  }
}

// Answers. Text of a package must not make the page load anything: text stays text, and pictures are PNGs within.

const PNG = /^data:[a-z]+\/png;base64,[A-Za-z0-9+/]+={0,2}$/;
const COLOUR = /^#[0-9a-f]{6}$/;

async function send(path) {
  const answer = el("answer");
  el("reasons").replaceChildren();
  answer.className = "";
  answer.textContent = "…";
  try {
    if (path === "stream") { await streamed(); return; }
    const reply = await post(path, "application/json");
    const body = await reply.json();
    answer.textContent = JSON.stringify(body, shortened, 2);
    if (!reply.ok) { answer.className = "bad"; return; }
    if (path === "explain") await explained(body); else show(body);
  } catch (error) { answer.className = "bad"; answer.textContent = String(error); }
}

// A picture as base64 is no text to read.
function shortened(name, value) {
  if (typeof value !== "string" || value.length <= LONGEST) return value;
  return `${value.slice(0, 60)}… (${value.length} characters)`;
}

function post(path, accept) {
  // Without a user and password of the address, with which fetch refuses it.
  const url = new URL(path, location.origin + location.pathname);
  return fetch(url, {method: "POST", body: el("example").value, headers: {"content-type": "application/json", accept}});
}

async function streamed() {
  const reply = await post("predict", "text/event-stream");
  if (!reply.ok) { el("answer").className = "bad"; el("answer").textContent = JSON.stringify(await reply.json(), null, 2); return; }
  const text = made("div", "", "big"), reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  el("reasons").append(text);
  for (let rest = "";;) {
    const {done, value} = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const body = JSON.parse(event.slice(event.indexOf("data: ") + 6));
      if (event.startsWith("event: ")) el("answer").textContent = JSON.stringify(body, null, 2);
      else text.textContent += body.text ?? JSON.stringify(body);
    }
  }
}

async function explained(reasons) {
  const reply = await post("predict", "application/json");
  if (reply.ok) show(await reply.json());
  const title = `${reasons.method}: ${reasons.output}`;
  heading(title);
  const given = Object.values(reasons.contributions);
  if (typeof reasons.base === "number") {
    const output = given.reduce((sum, value) => sum + value, reasons.base);
    el("reasons").append(made("p", `${shown(reasons.base)} on average, ${shown(output)} for this example`));
  }
  picture(reasons.picture, title);
  bars(Object.entries(reasons.contributions), true);
}

function show(body) {
  if (Array.isArray(body)) { grid(body); return; }
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    if (PNG.test(value)) { heading(name); if (name === "mask") mask(value); else picture(value, name); }
    else if (Array.isArray(value)) {
      if (value.length && typeof value[0] === "object") {
        heading(name);
        boxes(value, body);
        marks(value, body);
        grid(value);
      } else if (value.length) {
        const line = made("div", undefined, "big");
        line.append(made("span", `${name}: `), made("b", value.map(shown).join(", ")));
        el("reasons").append(line);
      }
    }
    else if (typeof value === "object") {
      const entries = Object.entries(value).filter(([, one]) => typeof one === "number");
      if (entries.length) { heading(name); bars(entries); }
    } else {
      const line = made("div", undefined, BIG.has(name) ? "big" : "");
      line.append(made("span", `${name}: `), made("b", shown(value)));
      el("reasons").append(line);
    }
  }
}

function shown(value) {
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
}

function heading(text) { el("reasons").append(made("h3", text)); }

// A mask of the request's picture, of whatever size, on a copy of it.
function mask(data) {
  const sent = el("form").querySelector("img");
  if (!sent) { picture(data, "mask"); return; }
  const frame = made("div", undefined, "boxes"), copy = made("img"), over = made("img", undefined, "mask");
  copy.src = sent.src;
  copy.alt = sent.alt;
  over.src = data;
  over.alt = "mask";
  frame.append(copy, over);
  el("reasons").append(frame);
}

function picture(data, alt) {
  if (!PNG.test(data ?? "")) return;
  const node = made("img");
  node.src = data;
  node.alt = alt;
  el("reasons").append(node);
}

// Boxes of an answer, in pixels of the request's picture, on a copy of it.
function boxes(rows, body) {
  const sent = el("form").querySelector("img");
  const found = rows.filter(row => ["left", "top", "width", "height"].every(side => Number.isFinite(row?.box?.[side])));
  if (!sent || !found.length) return;
  const frame = made("div", undefined, "boxes"), copy = made("img");
  copy.src = sent.src;
  copy.alt = sent.alt;
  frame.append(copy);
  const wide = body.width || sent.naturalWidth, high = body.height || sent.naturalHeight;
  for (const {box, label, score} of found) {
    const drawn = made("div"), words = [label, score].filter(one => one !== undefined).map(shown);
    for (const [side, whole] of [["left", wide], ["top", high], ["width", wide], ["height", high]])
      drawn.style[side] = 100 * box[side] / whole + "%";
    drawn.append(made("span", words.join(" ")));
    frame.append(drawn);
  }
  el("reasons").append(frame);
}

// Spans of an answer, in characters (Unicode code points) of its text, marked in it.
function marks(rows, body) {
  const found = rows.filter(row => Number.isInteger(row?.start) && Number.isInteger(row?.end) && row.end > row.start);
  if (typeof body.text !== "string" || !found.length) return;
  const letters = [...body.text], line = made("p", undefined, "marks");
  let place = 0;
  for (const {start, end, label, score} of [...found].sort((a, b) => a.start - b.start)) {
    if (start < place) continue;
    line.append(letters.slice(place, start).join(""));
    const mark = made("mark", letters.slice(start, end).join(""));
    mark.append(made("small", [label, score].filter(one => one !== undefined).map(shown).join(" ")));
    line.append(mark);
    place = end;
  }
  line.append(letters.slice(place).join(""));
  line.dir = "auto";
  el("reasons").append(line);
}

function bars(entries, signed = false) {
  const rows = entries.sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).slice(0, MOST);
  const most = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-12);
  for (const [name, value] of rows) {
    const row = made("div", undefined, "bar"), bar = made("i");
    bar.style.width = 40 * Math.abs(value) / most + "%";
    bar.style.background = signed && value > 0 ? "#d63027" : "#315cc4";
    row.append(made("b", name), bar, made("span", (signed && value > 0 ? "+" : "") + value.toPrecision(3)));
    el("reasons").append(row);
  }
  if (entries.length > MOST) el("reasons").append(made("small", `and ${entries.length - MOST} more`));
}

function cell(value) {
  const node = made("td", value === undefined ? "" : shown(value));
  if (COLOUR.test(value)) node.style.borderLeft = `1.5rem solid ${value}`;
  return node;
}

function grid(rows) {
  const names = [...new Set(rows.flatMap(row => Object.keys(row).filter(name => row[name] !== null && typeof row[name] !== "object")))];
  const table = made("table"), head = made("tr");
  head.append(...names.map(name => made("th", name)));
  table.append(head);
  for (const row of rows.slice(0, MOST)) {
    const line = made("tr");
    line.append(...names.map(name => cell(row[name])));
    table.append(line);
  }
  el("reasons").append(table);
}

build();
fill();
el("form").addEventListener("submit", event => event.preventDefault());
el("example").addEventListener("input", fill);
for (const button of document.querySelectorAll("button"))
  button.addEventListener("click", () => send(button.dataset.path));
