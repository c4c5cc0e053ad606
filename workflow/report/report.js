// Sorting and filtering of tables, columns on demand, figures enlarged. Without it the page reads as well.
"use strict";
const number = (text) => {
  const found = text.replaceAll("\u2212", "-").match(/-?\d[\d,]*\.?\d*(e-?\d+)?/i);
  return found ? parseFloat(found[0].replaceAll(",", "")) : NaN;
};

// Numbers begin with the largest, texts with A; a second click turns the order round.
function sort(table, column, heading) {
  const rows = [...table.rows].slice(1);
  const text = (row) => row.cells[column].textContent.trim();
  const numeric = column > 0 && rows.some((row) => !isNaN(number(text(row))));
  const ways = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
  const way = heading.getAttribute("aria-sort") === ways[0] ? ways[1] : ways[0];
  table.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", way);
  rows.sort((a, b) => {
    const [x, y] = numeric ? [number(text(a)), number(text(b))] : [text(a), text(b)];
    if (numeric && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y); // cells without a number come last
    const order = numeric ? x - y : x.localeCompare(y);
    return way === "ascending" ? order : -order;
  });
  rows.forEach((row) => table.tBodies[0].append(row));
}

function tools(table) {
  const bar = document.createElement("div");
  bar.className = "tools";
  if (table.rows.length > 6) {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "show rows with \u2026";
    field.setAttribute("aria-label", "show the rows of the table that contain this text");
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      [...table.rows].slice(1).forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
    });
    bar.append(field);
  }
  if (table.querySelector(".more")) {
    const button = document.createElement("button");
    const say = () => { button.textContent = table.classList.contains("fewer") ? "all columns" : "fewer columns"; };
    table.classList.add("fewer");
    say();
    button.addEventListener("click", () => { table.classList.toggle("fewer"); say(); });
    bar.append(button);
  }
  if (bar.children.length) table.parentElement.before(bar);
}

document.querySelectorAll("table.sortable").forEach((table) => {
  [...table.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.append(...cell.childNodes);
    button.addEventListener("click", () => sort(table, column, cell));
    cell.append(button);
  });
  tools(table);
});

const dialog = document.querySelector("dialog");
function enlarge(figure) {
  const copy = figure.querySelector("svg").cloneNode(true);
  dialog.querySelector("div").replaceChildren(copy);
  dialog.setAttribute("aria-label", figure.querySelector("figcaption b").textContent);
  dialog.showModal();
}
document.querySelectorAll("figure").forEach((figure) => {
  const links = figure.querySelector(".links");
  if (!links || !dialog) return;
  figure.querySelector("svg").addEventListener("click", () => enlarge(figure));
  const button = document.createElement("button");
  button.textContent = "enlarge";
  button.addEventListener("click", () => enlarge(figure));
  links.prepend(button);
});
if (dialog) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
}

// a folded part opens where a link leads into it
const unfold = () => { document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", ""); };
addEventListener("hashchange", unfold);
unfold();

// parts of the page are printed even if they are folded; details are not, their first line says so
addEventListener("beforeprint", () => document.querySelectorAll("details.part").forEach((one) => { one.open = true; }));
// on a wide page the contents stand open at the side
if (matchMedia("(min-width: 72rem)").matches) document.querySelector("details.contents")?.setAttribute("open", "");
