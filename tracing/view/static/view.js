// What the pages do beyond reading: keys, zoom, playing, following. Without it every page still
// reads. It builds no markup from data: what changes is fetched from the server and swapped whole.
"use strict";

const root = document.documentElement;
const body = document.body;
root.classList.add("scripted");

const kept = {
  get(name) { try { return localStorage.getItem(`tracing.${name}`); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(`tracing.${name}`, value); } catch { /* private */ } },
};
const shared = "shared" in body.dataset;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Theme and patterns, kept for the next page.
const themes = ["", "light", "dark"];
function apply(name, value) { if (value) root.dataset[name] = value; else delete root.dataset[name]; }
apply("theme", kept.get("theme"));
apply("patterns", kept.get("patterns"));
function changeTheme() {
  const next = themes[(themes.indexOf(root.dataset.theme ?? "") + 1) % themes.length];
  apply("theme", next);
  kept.set("theme", next);
}
function changePatterns() {
  const next = root.dataset.patterns ? "" : "strong";
  apply("patterns", next);
  kept.set("patterns", next);
}

// Times in the reader's zone.
const zoned = {
  time: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { weekday: "long", day: "numeric", month: "long" },
  full: { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" },
};
function localTimes(within = document) {
  for (const element of all("time[datetime]", within)) {
    const moment = new Date(element.dateTime);
    const kind = Object.keys(zoned).find((name) => name in element.dataset);
    if (!kind || Number.isNaN(moment.getTime())) continue;
    element.title = element.dateTime;
    element.textContent = new Intl.DateTimeFormat(undefined, zoned[kind]).format(moment);
  }
}

// The list: marking calls, dragging over the histogram.
function showTray() {
  const tray = one("#tray");
  if (!tray) return;
  const marked = all("#marking input:checked").length;
  one("#marked").textContent = marked;
  tray.hidden = marked === 0;
}
function compareMarked(event) {
  const ids = all("#marking input:checked").map((box) => box.value.slice(0, 12));
  event?.preventDefault();
  if (ids.length < 1) return;
  const address = new URLSearchParams({ a: ids.at(-1) });
  if (ids.length > 1) address.set("b", ids[0]);
  location.href = `/compare?${address}`;
}
function dragOver(chart) {
  let from = null;
  const at = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * chart.dataset.end;
  };
  chart.addEventListener("pointerdown", (event) => {
    from = at(event);
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointerup", (event) => {
    const [low, high] = [from, at(event)].sort((a, b) => a - b);
    from = null;
    if (high - low < 0.02) return;
    const address = new URLSearchParams(location.search);
    address.set("latency", `${low.toFixed(2)}..${high.toFixed(2)}`);
    location.search = address;
  });
}

// The lanes: zoom is one attribute. The server's is for a place of so many pixels.
const LEGIBLE = 900;
let zoom = Number(one(".inner")?.dataset.zoom ?? 1);
function setZoom(next, around = 0.5) {
  const scroll = one(".scroll");
  const inner = one(".inner");
  if (!inner) return;
  const place = (scroll.scrollLeft + around * scroll.clientWidth) / scroll.scrollWidth;
  zoom = Math.min(64, Math.max(1, next));
  inner.setAttribute("width", `${zoom * 100}%`);
  scroll.scrollLeft = place * scroll.scrollWidth - around * scroll.clientWidth;
  showWindow();
}
function showWindow() {
  const [scroll, shown] = [one(".scroll"), one("#window")];
  if (!scroll || !shown) return;
  const share = scroll.clientWidth / scroll.scrollWidth;
  shown.setAttribute("x", `${(100 * scroll.scrollLeft) / scroll.scrollWidth}%`);
  shown.setAttribute("width", share < 0.999 ? `${100 * share}%` : "0");
}
function goTo(event) {
  const box = one("#overview").getBoundingClientRect();
  const seconds = (span() * (event.clientX - box.left)) / box.width;
  if (sound()) { stopAt = Infinity; sound().currentTime = Math.max(0, seconds - offset()); }
  showInstant(seconds);
}
function showInstant(seconds) {
  const scroll = one(".scroll");
  const whole = span();
  if (!whole) return;
  const x = `${(100 * seconds) / whole}%`;
  one("#playhead").setAttribute("x1", x);
  one("#playhead").setAttribute("x2", x);
  const pixel = (scroll.scrollWidth * seconds) / whole;
  if (pixel < scroll.scrollLeft || pixel > scroll.scrollLeft + scroll.clientWidth) {
    scroll.scrollLeft = pixel - scroll.clientWidth / 4;
  }
}

// A part of the call: pressed, or in the address as `t=19.5..20.7`.
let selected = null;
function span() { return Number(one(".inner")?.dataset.seconds ?? 0); }
function showSelected() {
  const box = one("#selection");
  if (!box) return;
  box.setAttribute("x", `${selected ? (100 * selected.from) / span() : 0}%`);
  box.setAttribute("width", `${selected ? (100 * (selected.until - selected.from)) / span() : 0}%`);
}
function select(from, until) {
  if (!(until > from)) return;
  selected = { from, until };
  showSelected();
  if (!shared) addressWith((query) => query.set("t", `${from.toFixed(3)}..${until.toFixed(3)}`));
  setZoom(span() / (4 * (until - from)));
  showInstant(from);
}
function selectNothing() {
  if (!selected) return false;
  selected = null;
  stopAt = Infinity;
  showSelected();
  setZoom(1);
  if (!shared) addressWith((query) => query.delete("t"));
  return true;
}
function selectFromAddress() {
  const [from, until] = (new URLSearchParams(location.search).get("t") ?? "").split("..").map(Number);
  if (until > from) select(from, until);
}
function addressWith(change) {
  const address = new URL(location.href);
  change(address.searchParams);
  history.replaceState(history.state, "", address);
}
// A part of a turn's bar stands on the scale of the bars, one of the lanes on that of the call; one
// of the drawer says where it is.
function selectPressed(target) {
  const named = target.closest("[data-from]");
  if (named) { select(Number(named.dataset.from), Number(named.dataset.until)); return; }
  const part = target.closest("svg.seg") ?? target.closest(".wait rect, rect.band");
  const turn = part?.closest("a.turn");
  if (!part || (turn && !turn.dataset.at)) return;
  const whole = turn ? Number(turn.closest("ol").dataset.seconds) : span();
  const [x, width] = ["x", "width"].map((name) => (whole * parseFloat(part.getAttribute(name))) / 100);
  const begun = turn ? Number(turn.dataset.at) : 0;
  if (turn || part.closest(".lanes")) select(begun + x, begun + x + width);
}

// The recording.
let stopAt = Infinity;
function sound() { return one("#audio"); }
function offset() { return Number(sound()?.dataset.offset ?? 0); }
function instant() { return sound().currentTime + offset(); }
function play(from, until = Infinity) {
  const audio = sound();
  if (!audio) return;
  if (from !== undefined) audio.currentTime = Math.max(0, from - offset());
  stopAt = until;
  audio.play().catch(() => {});
}
function playOrPause() {
  const audio = sound();
  if (!audio) return;
  if (!audio.paused) { audio.pause(); return; }
  if (!selected) { play(); return; }
  const isInside = instant() > selected.from && instant() < selected.until;
  play(isInside ? undefined : selected.from, selected.until);
}
function skip(seconds) {
  const audio = sound();
  if (!audio) return;
  stopAt = Infinity;
  audio.currentTime = Math.max(0, audio.currentTime + seconds);
}
const speeds = [1, 1.5, 2, 0.5];
function changeSpeed(button) {
  const audio = sound();
  audio.playbackRate = speeds[(speeds.indexOf(audio.playbackRate) + 1) % speeds.length];
  button.textContent = `${audio.playbackRate}×`;
}
function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}
function showSound() {
  const audio = sound();
  const at = instant();
  one("#now").textContent = clock(Math.max(0, at));
  showInstant(at);
  if (at >= stopAt) { audio.pause(); stopAt = Infinity; }
  if (!audio.paused) requestAnimationFrame(showSound);
}
function showPlaying() {
  const button = one("button.play");
  const word = sound().paused ? "Play" : "Pause";
  button.setAttribute("aria-label", word);
  one("use", button).setAttribute("href", `#g-${word.toLowerCase()}`);
}
function followSound() {
  const audio = sound();
  audio?.addEventListener("play", () => { showPlaying(); showSound(); });
  audio?.addEventListener("pause", showPlaying);
  audio?.addEventListener("seeked", () => { if (audio.paused) showSound(); });
}

// Its waveform, from the loudest of every 40 ms of the caller, the agent, and so on in turn.
const peaksPerSecond = 25;
const mostPeaks = 4000;
async function peaks() {
  const given = sound()?.dataset.peaks;
  if (!given) return new Uint8Array();
  if (shared) return Uint8Array.from(atob(given), (letter) => letter.charCodeAt(0));
  const response = await fetch(given);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : new Uint8Array();
}
function waveform(found, channel) {
  const each = Math.ceil(found.length / 2 / mostPeaks);
  const strokes = [];
  for (let at = 0; at < found.length / 2; at += each) {
    let loudest = 0;
    for (let next = at; next < at + each; next += 1) loudest = Math.max(loudest, found[2 * next + channel] ?? 0);
    const tall = Math.max(0.2, (10.5 * loudest) / 255);
    strokes.push(`M${(offset() + at / peaksPerSecond).toFixed(2)} ${(11 - tall).toFixed(1)}v${(2 * tall).toFixed(1)}`);
  }
  return strokes.join("");
}
async function drawWaveforms() {
  const found = await peaks();
  [".wave.caller", ".wave.agent"].forEach((name, channel) => one(name)?.setAttribute("d", waveform(found, channel)));
}

// Turns and their drawer.
function turns() { return all("a.turn"); }
function current() { return turns().findIndex((turn) => turn.classList.contains("current")); }
function call() { return `/calls/${body.dataset.call}`; }
async function fetchInto(address, element) {
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (!response.ok) return false;
  element.innerHTML = await response.text();
  localTimes(element);
  return true;
}
async function openTurn(turn) {
  if (shared) { location.hash = turn.hash; return true; }
  const drawer = one("#drawer");
  const number = turn.dataset.turn;
  if (!drawer || !(await fetchInto(`${call()}/turns/${number}`, drawer))) return false;
  drawer.hidden = false;
  drawer.scrollTop = 0;
  for (const other of turns()) other.classList.toggle("current", other === turn);
  turn.scrollIntoView({ block: "nearest" });
  if (turn.dataset.at) showInstant(Number(turn.dataset.at));
  const address = new URL(location.href);
  address.searchParams.set("turn", number);
  address.hash = "";
  history.replaceState(null, "", address);
  return true;
}
function closeTurn() {
  if (shared) { location.hash = "turns"; return true; }
  const drawer = one("#drawer");
  if (!drawer || drawer.hidden) return false;
  drawer.hidden = true;
  const address = new URL(location.href);
  address.searchParams.delete("turn");
  history.replaceState(null, "", address);
  turns()[current()]?.focus();
  return true;
}
function step(items, from, by, wanted = () => true) {
  for (let at = from + by; at >= 0 && at < items.length; at += by) {
    if (wanted(items[at])) return items[at];
  }
  return null;
}
function move(by, wanted) {
  if (body.dataset.page === "call") {
    const next = step(turns(), current(), by, wanted);
    if (!next) return;
    if (!one(".drawer:target, #drawer:not([hidden])")) { markCurrent(turns(), next); next.focus(); } else openTurn(next);
    return;
  }
  const rows = all("tr.call");
  const at = rows.findIndex((row) => row.classList.contains("current"));
  const next = step(rows, at, by, wanted);
  if (next) { markCurrent(rows, next); one("a", next).focus(); }
}
function markCurrent(items, chosen) {
  for (const item of items) item.classList.toggle("current", item === chosen);
  chosen.scrollIntoView({ block: "nearest" });
}
const isOver = (item) => item.classList.contains("over") || "over" in item.dataset;
const isError = (item) => "error" in item.dataset;

function openCurrent() {
  const turn = turns()[current()];
  if (turn) openTurn(turn);
  else one("tr.call.current a")?.click();
}
function alignNext() {
  const parts = all(".legend a");
  const at = parts.findIndex((part) => part.hasAttribute("aria-current"));
  const next = parts[at + 1] ?? (at >= 0 ? parts[at] : null);
  if (next) location.href = next.href;
}
function markRow() {
  const box = one("tr.call.current input");
  if (box) { box.checked = !box.checked; showTray(); }
}

// Following: the server tells of a change, and its page is swapped in whole.
let following = true;
async function refresh() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const scroll = one(".scroll")?.scrollLeft ?? 0;
  const atEnd = one(".scroll") && scroll + one(".scroll").clientWidth >= one(".scroll").scrollWidth - 4;
  for (const id of ["live-head", "whole", "overview", "lanes", "turns"]) {
    const [old, next] = [one(`#${id}`), one(`#${id}`, fresh)];
    if (old && next) old.replaceWith(document.adoptNode(next));
  }
  if (body.dataset.page !== "call" || !one("#turns", fresh)) {
    one("main").replaceWith(document.adoptNode(one("main", fresh)));
    body.dataset.page = fresh.body.dataset.page;
  }
  setZoom(zoom);
  showSelected();
  if (one(".scroll")) one(".scroll").scrollLeft = atEnd ? one(".scroll").scrollWidth : scroll;
  localTimes();
  if (!fresh.body.dataset.live && body.dataset.live) location.reload();
}
function listen() {
  if (!body.dataset.live || !window.EventSource) return;
  const source = new EventSource(body.dataset.live);
  let due = false;
  source.onmessage = () => {
    if (!following || due || all("#marking input:checked").length) return;
    due = true;
    setTimeout(() => { due = false; refresh(); }, 200);
  };
}
function changeFollowing() {
  following = !following;
  one("[data-do=follow]")?.setAttribute("aria-pressed", String(following));
  if (following) refresh();
}

const actions = {
  theme: changeTheme,
  keys: () => one("#keys")?.showModal(),
  play: playOrPause,
  speed: changeSpeed,
  "play-turn": (button) => { selectNothing(); play(Number(button.dataset.at)); },
  "zoom-in": () => setZoom(zoom * 2),
  "zoom-out": () => setZoom(zoom / 2),
  "zoom-fit": () => setZoom(1),
  follow: changeFollowing,
};
const keys = {
  j: () => move(1), k: () => move(-1), Enter: openCurrent, "/": () => one("[name=q]")?.focus(),
  n: () => move(1, isOver), N: () => move(-1, isOver), e: () => move(1, isError), E: () => move(-1, isError),
  " ": playOrPause, ArrowLeft: () => skip(-5), ArrowRight: () => skip(5),
  "+": actions["zoom-in"], "-": actions["zoom-out"], 0: actions["zoom-fit"], a: alignNext, x: markRow,
  c: () => (one("#marking") ? compareMarked() : one("[data-key=c]")?.click()),
  "[": () => one("[data-key=newer]")?.click(), "]": () => one("[data-key=older]")?.click(),
  f: changeFollowing, p: changePatterns, t: changeTheme, "?": actions.keys,
};

const inField = (element) => element.closest("input:not([type=checkbox]), select, textarea, dialog");
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { if (one("#keys")?.open) return; if (closeTurn() || selectNothing()) event.preventDefault(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
  if (kept.get("keys") === "off" && event.key.length === 1 && event.key !== "?") return;
  if (event.key === "Enter" && event.target.closest("a")) return;
  if ((event.key === "Enter" || event.key === " ") && event.target.closest("button, input, summary")) return;
  if (event.key === " " && !sound()) return;
  if (event.key.startsWith("Arrow") && (!sound() || event.target.closest(".scroll"))) return;
  const action = keys[event.key];
  if (action) { event.preventDefault(); action(); }
});
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const button = event.target.closest("[data-do]");
  if (button?.dataset.do === "close") { event.preventDefault(); closeTurn(); return; }
  if (button && actions[button.dataset.do]) { actions[button.dataset.do](button); return; }
  selectPressed(event.target);
  if (event.target.closest("[data-from]")) { event.preventDefault(); return; }
  if (event.target.closest("#overview")) { goTo(event); return; }
  const turn = event.target.closest("a.turn, .drawer header a[href], .lanes a, .why a");
  const number = turn && new URL(turn.href, location.href).searchParams.get("turn");
  const row = number && !shared && one(`a.turn[data-turn="${CSS.escape(number)}"]`);
  if (row) { event.preventDefault(); openTurn(row); }
});
document.addEventListener("scroll", (event) => { if (event.target === one(".scroll")) showWindow(); }, true);
document.addEventListener("change", (event) => {
  if (event.target.dataset.do === "single-keys") kept.set("keys", event.target.checked ? "on" : "off");
  if (event.target.closest("#marking")) showTray();
});
one("#marking")?.addEventListener("submit", compareMarked);
one("#marking")?.addEventListener("reset", () => setTimeout(showTray));
all(".histogram").forEach(dragOver);
const singleKeys = one("[data-do=single-keys]");
if (singleKeys) singleKeys.checked = kept.get("keys") !== "off";
localTimes();
followSound();
drawWaveforms();
listen();
showTray();
const seen = one(".scroll")?.clientWidth ?? LEGIBLE;
setZoom(zoom > 1 && seen < LEGIBLE ? (zoom * LEGIBLE) / seen : zoom, 0);
const chosen = one("a.turn.current");
if (chosen?.dataset.at) showInstant(Number(chosen.dataset.at));
selectFromAddress();
