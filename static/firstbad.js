// What pages do besides: they work without it. No page needs anything from here.
"use strict";

const main = document.getElementById("main");

/* What is about to be pressed is not replaced by a newer one. */

let pressing = false;
const ends = ["pointerup", "pointercancel"];
document.addEventListener("pointerdown", () => (pressing = true));
for (const end of ends) document.addEventListener(end, () => (pressing = false));

async function released() {
  if (!pressing) return;
  await new Promise((go) => ends.forEach((end) => document.addEventListener(end, go, { once: true })));
  // The press itself comes after its end.
  await new Promise((go) => setTimeout(go));
}

/* Live pages: the server says that something changed, and the page is fetched again. */

const details = (root) => [...root.querySelectorAll("details")];
const opened = (root) => new Map(details(root).map((d) => [d.querySelector("summary")?.textContent, d.open]));

function follows() {
  const end = document.documentElement.scrollHeight - window.innerHeight - window.scrollY;
  return end < 120;
}

// All but a search that somebody may be writing, which keeps its words, its choices and the focus.
function renew(fresh) {
  const [search, blank] = [main, fresh].map((of) => of.querySelector(":scope > [role=search]"));
  if (!search || !blank) {
    main.replaceChildren(...fresh.childNodes);
    return;
  }
  for (const old of [...main.childNodes]) if (old !== search) old.remove();
  const all = [...fresh.childNodes];
  const at = all.indexOf(blank);
  search.before(...all.slice(0, at));
  search.after(...all.slice(at + 1));
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("main");
  if (!fresh) return;
  const log = main.dataset.live?.startsWith("log/");
  const atEnd = log && follows();
  // A reader who scrolled up in a log, marks text or is about to press something is not disturbed.
  if ((log && !atEnd) || String(getSelection()) || pressing) {
    late = true;
    return;
  }
  const was = opened(main);
  const focus = document.activeElement?.id;
  document.title = page.title;
  renew(fresh);
  if (!fresh.dataset.live) delete main.dataset.live;
  for (const d of details(main)) {
    const open = was.get(d.querySelector("summary")?.textContent);
    if (open !== undefined) d.open = open;
  }
  if (focus) document.getElementById(focus)?.focus();
  if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight);
  late = false;
  dress(main);
  if (!main.dataset.live) stream?.close();
}

// The ends of the logs of a job that runs, which change far more often than the rest.
async function tail() {
  const answer = await fetch(`${location.pathname}/tail`);
  const place = document.getElementById("tail");
  if (!answer.ok || !place || String(getSelection())) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...fresh.body.childNodes);
}

let stream;
let busy = false;
let again = false;
let late = false;

async function changed() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      await refresh();
    } while (again);
  } catch {
    // The stream connects again by itself and then says what was missed.
  } finally {
    busy = false;
  }
}

function follow() {
  stream = new EventSource(`/live?of=${encodeURIComponent(main.dataset.live)}`);
  stream.addEventListener("changed", changed);
  stream.addEventListener("tail", () => tail().catch(() => {}));
  // Refused, which a browser takes for its end: the page is fetched without being told.
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(async () => {
      await changed();
      if (main.dataset.live) follow();
    }, 5000);
  });
}

function watch() {
  if (!main?.dataset.live) return;
  follow();
  document.addEventListener("scroll", () => late && follows() && changed(), { passive: true });
  for (const end of ends) document.addEventListener(end, () => late && setTimeout(changed));
  document.addEventListener("selectionchange", () => late && !String(getSelection()) && changed());
}

/* The form for a new job: what it would take is looked up after each change. */

let asked = 0;
// Nobody waits longer for a look-up, milliseconds.
const GIVE_UP = 60000;
// The look-up whose answer is on the page, and when the newest one has ended.
let shown = 0;
let looked;
// Said beside the answer, and kept when there is another one.
let secret;

async function preview(form) {
  const turn = ++asked;
  const body = new URLSearchParams(new FormData(form));
  // A series is written beside the tree: not before somebody says so.
  if (body.get("mbox")) return;
  const signal = AbortSignal.timeout(GIVE_UP);
  const answer = await fetch(form.getAttribute("action"), { method: "POST", body, signal });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // What is being pressed stays where it is.
  await released();
  // Only the newest answer counts.
  if (!answer.ok || turn !== asked) return;
  secret = document.getElementById("private")?.checked ?? secret;
  document.getElementById("preview").replaceChildren(...page.getElementById("preview").childNodes);
  const kept = document.getElementById("private");
  if (kept && secret !== undefined) kept.checked = secret;
  for (const old of form.querySelectorAll(".wrong, .hint[data-suite]")) old.remove();
  for (const fresh of page.querySelectorAll("form[data-preview] .wrong, .hint[data-suite]")) {
    const id = fresh.closest(".field")?.querySelector("[id]")?.id;
    if (id) document.getElementById(id).after(fresh);
  }
  dress(document.getElementById("preview"));
  shown = turn;
}

// What is submitted is what the form says now, never what it said when it was looked up last.
async function submitted(event, form) {
  if (shown === asked) return;
  event.preventDefault();
  let turn;
  do {
    turn = asked;
    await looked;
  } while (turn !== asked);
  // Without an answer the server says, on the page, what the form would take.
  if (shown !== asked) form.requestSubmit();
  else document.querySelector("#preview form")?.requestSubmit();
}

/* A text from a file; the field named by data-file takes the file's name. */
function fromFile(area) {
  const picker = document.createElement("input");
  picker.type = "file";
  picker.setAttribute("aria-label", `${area.labels[0]?.textContent.trim() ?? "Text"}: from a file`);
  picker.addEventListener("change", async () => {
    const [file] = picker.files;
    if (!file) return;
    area.value = await file.text();
    const name = area.dataset.file && document.getElementById(area.dataset.file);
    if (name && !name.value) name.value = file.name;
    area.dispatchEvent(new Event("change", { bubbles: true }));
  });
  area.after(picker);
}

function ask() {
  document.querySelectorAll("textarea[data-file]").forEach(fromFile);
  const form = document.querySelector("form[data-preview]");
  if (!form) return;
  form.addEventListener("change", () => (looked = preview(form).catch(() => {})));
  document.getElementById("preview").addEventListener("submit", (event) => submitted(event, form));
}

/* Copying */

function copyable(element, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", `Copy ${text.length > 40 ? "this text" : text}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  element.after(button);
}

function dress(root) {
  for (const code of root.querySelectorAll("code.hash.full")) copyable(code, code.textContent.trim());
  for (const pre of root.querySelectorAll("pre.command")) copyable(pre, pre.textContent.trim());
}

/* Light or dark */

function theme() {
  const place = document.getElementById("theme");
  if (!place) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  const dark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const label = () => (button.textContent = dark() ? "Light" : "Dark");
  const stored = localStorage.getItem("theme");
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
  button.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    label();
  });
  label();
  place.append(button);
}

/* Keys: the help page lists them. */

const places = { j: "/", s: "/surveys", t: "/trees", w: "/workers", h: "/help" };
let going = false;

// The rows that keys step through: table rows with a link, or what was found in a log.
const rows = () => [...main.querySelectorAll("tbody tr:has(a), .found li")];

function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  next?.querySelector("a")?.focus();
}

const keys = {
  "/": () => document.querySelector("input[type=search]")?.focus(),
  "?": () => location.assign("/help#keys"),
  j: () => step(1),
  k: () => step(-1),
  n: () => step(1),
  p: () => step(-1),
  f: () => document.querySelector("a[data-follow]")?.click(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (going) {
    going = false;
    if (places[event.key]) location.assign(places[event.key]);
    return;
  }
  if (event.key === "g") {
    going = true;
    setTimeout(() => (going = false), 1000);
    return;
  }
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

theme();
dress(main);
ask();
watch();
