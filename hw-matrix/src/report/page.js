"use strict";
// The data is in columns: cells.status[7] is the place of cell 7's status in `statuses`. A cell is a number everywhere.
const data = JSON.parse(document.getElementById("data").textContent);
const cells = data.cells;
const total = cells.status.length;
const PAGE = 100;        // cells listed at a time
const MANY_ROWS = 80;    // NICs above which the matrix begins with hosts
const MARKS = { pass: "✓", flaky: "~", "known-bad": "k", fail: "✗", error: "!", crash: "☠", skip: "–", interrupted: "…" };
// The worst first; what one square of many cells is coloured by.
const WORST = ["crash", "fail", "error", "interrupted", "flaky", "known-bad", "pass", "skip"].map(name => data.statuses.indexOf(name));
const rank = data.statuses.map((_, status) => WORST.indexOf(status));

const $ = id => document.getElementById(id);
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
const text = place => place === undefined ? null : data.texts[place];
const when = seconds => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const hostOf = cell => data.nics[cells.nic[cell]].host;
function id(cell) {
  const nic = data.nics[cells.nic[cell]];
  return [data.hosts[nic.host].name, nic.name, data.programs[cells.program[cell]], data.modes[cells.mode[cell]], data.checks[cells.check[cell]]].join("/");
}
function mark(status) {
  const name = data.statuses[status];
  return element("span", { class: `mark ${name}`, title: name }, MARKS[name]);
}

// The filter: what is chosen, and the cells it leaves.
const chosen = { text: "", status: -1, host: -1, nic: -1, program: -1, mode: -1, check: -1 };
let found = [];
let byProgram = false;
const open = new Set();  // hosts whose NICs the matrix shows

function matches(cell) {
  return (chosen.status < 0 || cells.status[cell] === chosen.status)
    && (chosen.host < 0 || hostOf(cell) === chosen.host)
    && (chosen.nic < 0 || cells.nic[cell] === chosen.nic)
    && (chosen.program < 0 || cells.program[cell] === chosen.program)
    && (chosen.mode < 0 || cells.mode[cell] === chosen.mode)
    && (chosen.check < 0 || cells.check[cell] === chosen.check)
    && (chosen.text === "" || id(cell).includes(chosen.text) || [cells.reason, cells.found].some(column => (text(column[cell]) ?? "").includes(chosen.text)));
}
function choose(changes) {
  Object.assign(chosen, changes);
  for (const key of ["status", "host", "program", "mode", "check"]) $(key).value = chosen[key];
  $("text").value = chosen.text;
  draw();
}
function draw() {
  found = [];
  for (let cell = 0; cell < total; cell++) if (matches(cell)) found.push(cell);
  drawCounts();
  drawMatrix();
  drawCells();
}

function drawCounts() {
  const counts = data.statuses.map(() => 0);
  for (const status of cells.status) counts[status]++;
  $("counts").replaceChildren(...counts.flatMap((count, status) => count === 0 ? [] : [
    element("button", { type: "button", "aria-pressed": chosen.status === status, "data-status": data.statuses[status],
      onclick: () => choose({ status: chosen.status === status ? -1 : status }) },
      mark(status), ` ${count.toLocaleString("en")} ${data.statuses[status]}`)]));
}

// One square: how many cells, how many of them not good, the worst of them.
function add(square, cell) {
  const status = cells.status[cell];
  square.all++;
  if (rank[status] < WORST.length - 2) square.bad++;
  if (square.worst === undefined || rank[status] < rank[square.worst]) square.worst = status;
}
function drawMatrix() {
  const column = byProgram ? cells.program : cells.mode;
  const names = byProgram ? data.programs : data.modes;
  const rows = new Map();    // "h3" or "n7" -> squares by column
  const collapsed = data.nics.length > MANY_ROWS;
  const used = new Set();
  for (const cell of found) {
    const nic = cells.nic[cell], host = data.nics[nic].host;
    used.add(column[cell]);
    for (const key of collapsed ? (open.has(host) ? ["h" + host, "n" + nic] : ["h" + host]) : ["n" + nic]) {
      let row = rows.get(key);
      if (row === undefined) rows.set(key, row = { host, nic: key[0] === "n" ? nic : -1, squares: [] });
      add(row.squares[column[cell]] ??= { all: 0, bad: 0 }, cell);
    }
  }
  const columns = [...used].sort((a, b) => a - b);
  const list = [...rows.values()].sort((a, b) => a.host - b.host || a.nic - b.nic);
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, collapsed ? "host" : "NIC"),
    ...columns.map(place => element("th", { scope: "col", title: names[place] }, names[place] === "-" ? "no program" : names[place]))));
  const body = element("tbody");
  for (const row of list) {
    const nic = row.nic < 0 ? null : data.nics[row.nic], host = data.hosts[row.host].name;
    const name = nic === null
      ? element("button", { type: "button", class: "link", "aria-expanded": open.has(row.host), onclick: () => toggle(row.host) }, `${open.has(row.host) ? "▾" : "▸"} ${host}`)
      : collapsed ? nic.name : `${host}/${nic.name}`;
    const tr = element("tr", { class: nic !== null && collapsed ? "nic" : null }, element("th", { scope: "row", title: nic?.driver }, name));
    for (const place of columns) {
      const square = row.squares[place];
      if (square === undefined) { tr.append(element("td")); continue; }
      const status = data.statuses[square.worst];
      const what = { host: row.host, nic: row.nic, [byProgram ? "program" : "mode"]: place };
      const label = `${host}${nic === null ? "" : "/" + nic.name}, ${names[place]}: ${many(square.all, "cell")}, ${square.bad} not good, worst ${status}`;
      tr.append(element("td", {}, element("button", { type: "button", class: status, title: label, "aria-label": label,
        onclick: () => { choose(what); $("cells-title").scrollIntoView(); } }, square.bad > 0 ? String(square.bad) : MARKS[status])));
    }
    body.append(tr);
  }
  $("matrix").className = columns.length <= 6 ? "few" : "";
  $("matrix").replaceChildren(head, body);
  $("by-mode").setAttribute("aria-pressed", !byProgram);
  $("by-program").setAttribute("aria-pressed", byProgram);
}
function toggle(host) {
  if (!open.delete(host)) open.add(host);
  drawMatrix();
}

function drawCells() {
  $("shown").textContent = `(${found.length.toLocaleString("en")} of ${total.toLocaleString("en")})`;
  // What somebody has to look at comes first.
  found.sort((a, b) => rank[cells.status[a]] - rank[cells.status[b]] || a - b);
  $("cells").replaceChildren();
  more();
}
function more() {
  const from = $("cells").childElementCount;
  $("cells").append(...found.slice(from, from + PAGE).map(row));
  $("more").hidden = from + PAGE >= found.length;
}
function row(cell) {
  const why = text(cells.reason[cell]) ?? text(cells.found[cell]);
  const details = element("details", { "data-cell": id(cell) }, element("summary", {}, mark(cells.status[cell]), ` ${id(cell)} `,
    element("span", { class: "why" }, why ?? "")));
  details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) details.append(...detail(cell)); });
  return details;
}
function detail(cell) {
  const nic = data.nics[cells.nic[cell]], host = data.hosts[nic.host];
  const outcome = place => place < 0 ? null : data.outcomes[place];
  const past = data.past[cell];
  const facts = [
    ["status", data.statuses[cells.status[cell]]],
    ["outcome", outcome(cells.outcome[cell])],
    ["expected", outcome(cells.expected[cell])],
    ["found", text(cells.found[cell])],
    ["figure", cells.figure[cell]?.toFixed(2)],
    ["why", text(cells.reason[cell])],
    ["to do", text(cells.remedy[cell])],
    ["known bad", text(cells.known[cell])],
    ["interface", [nic.ifname, nic.driver, nic.version, nic.firmware].filter(Boolean).join(", ")],
    ["kernel", host.kernel],
    ["time", `${cells.ms[cell]} ms${cell in cells.attempts ? `, ${cells.attempts[cell]} attempts` : ""}`],
  ];
  const list = element("dl");
  for (const [name, value] of facts) if (value) list.append(element("dt", {}, name), element("dd", {}, value));
  if (data.runs.length > 1) {
    const then = past === undefined ? ["as now in all of them"]
      : [...past].map(digit => digit === "." ? element("span", { class: "mark", title: "not there" }, "·") : mark(Number(digit)));
    list.append(element("dt", {}, "past runs"), element("dd", {}, ...then));
  }
  const blocks = [list];
  for (const [title, words] of [["The kernel's words", text(cells.kernel[cell])], ["Log", text(cells.log[cell])]]) {
    if (words) blocks.push(element("h3", {}, title), element("pre", { tabindex: 0 }, words));
  }
  return blocks;
}

function drawChanges() {
  if (data.base === null) { $("changed").hidden = true; return; }
  const box = $("changes");
  const bad = data.changes.filter(change => data.kinds[change.kind].regression).length;
  box.append(element("p", {}, `Beside the run of ${when(data.base)}: ${data.changes.length === 0 ? "nothing changed." : many(bad, "regression") + ", " + many(data.changes.length - bad, "other change") + "."}`));
  data.kinds.forEach((kind, place) => {
    const all = data.changes.filter(change => change.kind === place);
    if (all.length === 0) return;
    const list = element("ul");
    const show = count => {
      list.replaceChildren(...all.slice(0, count).map(change => {
        const name = change.cell === null ? change.id : element("button", { type: "button", class: "link", onclick: () => show1(change) }, change.id);
        const why = change.cell === null ? null : text(cells.reason[change.cell]);
        return element("li", {}, name, ` ${change.before} → ${change.after}${why ? ": " + why : ""}`);
      }));
      if (count < all.length) list.append(element("li", {}, element("button", { type: "button", onclick: () => show(all.length) }, `all ${all.length}`)));
    };
    show(50);
    box.append(element("h3", { class: kind.regression ? "regression" : null }, `${kind.name} (${all.length})`), list);
  });
  if (data.exchanged.length > 0) {
    box.append(element("h3", {}, `exchanged (${data.exchanged.length})`), element("ul", {}, ...data.exchanged.map(it =>
      element("li", {}, `${it.what} of ${it.of}: ${it.before ?? "none"} → ${it.after ?? "none"}`))));
  }
}
// Shows one changed cell alone, opened.
function show1(change) {
  choose({ text: change.id, status: -1, host: -1, nic: -1, program: -1, mode: -1, check: -1 });
  const details = $("cells").firstElementChild;
  if (details) { details.open = true; details.scrollIntoView(); }
}

function drawRuns() {
  if (data.runs.length < 2) { $("trend").hidden = true; return; }
  const most = Math.max(...data.runs.map(run => run.counts.reduce((a, b) => a + b, 0)), 1);
  $("runs").append(...data.runs.map((run, place) => {
    const now = place === data.runs.length - 1;
    const words = `${when(run.started)}: ` + run.counts.flatMap((count, status) => count ? [`${count} ${data.statuses[status]}`] : []).join(", ");
    return element("div", { class: "bar", title: words, role: "img", "aria-label": words },
      ...WORST.filter(status => run.counts[status] > 0).map(status =>
        element("div", { class: data.statuses[status], style: `height:${Math.max(run.counts[status] / most * 82, 1.5)}%` })),
      element("span", { class: now ? "now" : null }, when(run.started).slice(5, 10)));
  }));
}
function drawHosts() {
  const head = element("thead", {}, element("tr", {}, ...["host", "kernel", "NICs", ""].map(name => element("th", { scope: "col" }, name))));
  const nics = data.hosts.map(() => []);
  for (const nic of data.nics) nics[nic.host].push(nic.driver ? `${nic.name} (${nic.driver})` : nic.name);
  $("hosts").append(head, element("tbody", {}, ...data.hosts.map((host, place) =>
    element("tr", {}, element("th", { scope: "row" }, host.name), element("td", {}, host.kernel ?? "unknown"), element("td", {}, nics[place].join(", ")), element("td", {}, host.error ?? "")))));
}

function options(key, names) {
  $(key).append(element("option", { value: -1 }, "all"), ...names.map((name, place) => element("option", { value: place }, name)));
  $(key).addEventListener("change", () => choose({ [key]: Number($(key).value), nic: -1 }));
}
document.title = `${data.lab}: hw-matrix`;
$("lab").textContent = data.lab;
$("run").textContent = `${when(data.started)}, ${many(total, "cell")}${data.complete ? "" : ", the run did not come to its end"}${data.left_out ? `, ${many(data.left_out, "log")} in results.jsonl only` : ""}, hw-matrix ${data.version}`;
$("legend").append(...data.statuses.flatMap((_, status) => [mark(status), ` ${data.statuses[status]} `]), ". A number: so many cells of a square are not good.");
options("status", data.statuses);
options("host", data.hosts.map(host => host.name));
options("program", data.programs);
options("mode", data.modes);
options("check", data.checks);
let typing;
$("text").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => choose({ text: $("text").value, nic: -1 }), 120); });
$("filter").addEventListener("submit", event => event.preventDefault());
$("filter").addEventListener("reset", event => { event.preventDefault(); choose({ text: "", status: -1, host: -1, nic: -1, program: -1, mode: -1, check: -1 }); });
$("by-mode").addEventListener("click", () => { byProgram = false; drawMatrix(); });
$("by-program").addEventListener("click", () => { byProgram = true; drawMatrix(); });
$("more").addEventListener("click", more);
drawChanges();
drawRuns();
drawHosts();
draw();
