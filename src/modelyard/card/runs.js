"use strict";
const cards = JSON.parse(document.getElementById("cards").textContent);
const table = document.getElementById("runs");
const body = table.tBodies[0];

function orderOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.order ?? cell.textContent;
}

function compare(left, right) {
  const numbers = [Number(left), Number(right)];
  if (left !== "" && right !== "" && numbers.every(Number.isFinite)) return numbers[0] - numbers[1];
  return left.localeCompare(right);
}

function sortBy(header) {
  const column = header.cellIndex;
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  document.querySelectorAll("tr.opened").forEach((opened) => opened.remove());
  const rows = [...body.rows];
  // Empty cells come last in either direction.
  rows.sort((one, other) => {
    const [left, right] = [orderOf(one, column), orderOf(other, column)];
    if (left === "" || right === "") return (left === "") - (right === "");
    return descending ? compare(right, left) : compare(left, right);
  });
  body.append(...rows);
}

function toggleCard(row) {
  if (row.nextElementSibling?.classList.contains("opened")) {
    row.nextElementSibling.remove();
    return;
  }
  const opened = document.createElement("tr");
  opened.className = "opened";
  const cell = opened.insertCell();
  cell.colSpan = row.cells.length;
  const frame = document.createElement("iframe");
  frame.title = `card of ${row.dataset.run}`;
  // The card has no script; the empty sandbox keeps it so.
  frame.setAttribute("sandbox", "");
  frame.srcdoc = cards[row.dataset.run];
  cell.append(frame);
  row.after(opened);
}

function showCommand() {
  const chosen = [...body.querySelectorAll("input:checked")].map((box) => box.closest("tr").dataset.run);
  const words = chosen.length > 1 ? ["modelyard", "compare", ...chosen] : [];
  document.querySelector("#command code").textContent = words.join(" ");
}

for (const header of table.tHead.rows[0].cells) {
  header.querySelector("button")?.addEventListener("click", () => sortBy(header));
}
body.addEventListener("click", (event) => {
  if (event.target.matches("button.card")) toggleCard(event.target.closest("tr"));
});
body.addEventListener("change", showCommand);
