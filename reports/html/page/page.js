// What a page can do beyond showing, the same for every kind of page and only as far as the page has it: filters and places
// in its hash, details of agreeing checks, copying, arrow keys.
// @ts-check

/** @typedef {{ place: string, kinds: Set<string>, tag: string, text: string }} View */

/** What is filtered: a scenario with its kinds, a change. */
const items = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-kinds]")]);
/** What holds items, and goes when all of them do. */
const groups = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-group]")]);
const kindButtons = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll("button[data-kind]")]);
const kindName =
  /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"))?.dataset.filter ?? "status";
const tagSelect = /** @type {HTMLSelectElement | null} */ (document.querySelector("#tag"));
const textInput = /** @type {HTMLInputElement | null} */ (document.querySelector("#text"));
const shown = /** @type {HTMLElement | null} */ (document.querySelector(".shown"));
const nothing = /** @type {HTMLElement | null} */ (document.querySelector("p.nothing:has(.clear)"));
const entries = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".contents li[data-for]")]);

/** @type {WeakMap<Element, string>} */
const found = new WeakMap();

/**
 * The hash: a place, then filters: `#jwt/name/2.5?status=failed,flaky&tag=documented&text=issuer`.
 * @returns {View}
 */
function readHash() {
  const [place = "", query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const filters = new URLSearchParams(query);
  const kinds = (filters.get(kindName) ?? "").split(",").filter((kind) => kind !== "");
  return {
    place: decode(place),
    kinds: new Set(kinds),
    tag: filters.get("tag") ?? "",
    text: filters.get("text") ?? "",
  };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {View} view */
function hashOf(view) {
  const filters = new URLSearchParams();
  if (view.kinds.size > 0) filters.set(kindName, [...view.kinds].join(","));
  if (view.tag !== "") filters.set("tag", view.tag);
  if (view.text !== "") filters.set("text", view.text);
  const query = filters.toString().replaceAll("%2C", ",");
  return `#${encodeURI(view.place)}${query === "" ? "" : `?${query}`}`;
}

/** @returns {View} */
function readControls() {
  const pressed = kindButtons.filter((button) => button.getAttribute("aria-pressed") === "true");
  return {
    place: readHash().place,
    kinds: new Set(pressed.map((button) => button.dataset.kind ?? "")),
    tag: tagSelect?.value ?? "",
    text: textInput?.value.trim() ?? "",
  };
}

/** @param {View} view */
function writeControls(view) {
  for (const button of kindButtons) {
    button.setAttribute("aria-pressed", String(view.kinds.has(button.dataset.kind ?? "")));
  }
  if (tagSelect !== null) tagSelect.value = view.tag;
  if (tagSelect?.selectedIndex === -1) tagSelect.value = "";
  if (textInput !== null && textInput.value.trim() !== view.text) textInput.value = view.text;
}

/** Names and reasons of an item, in lower case. @param {HTMLElement} item */
function wordsOf(item) {
  const known = found.get(item);
  if (known !== undefined) return known;
  const told = item.hasAttribute("data-find") ? [item] : [...item.querySelectorAll("[data-find]")];
  const around = /** @type {HTMLElement | null} */ (item.closest("[data-words]"))?.dataset.words ?? "";
  const words = told.map((element) => element.textContent ?? "");
  const text = [...words, item.dataset.tags ?? "", around].join("\n").toLowerCase();
  found.set(item, text);
  return text;
}

/** @param {string | undefined} list @param {string} word */
function has(list, word) {
  return (list ?? "").split(" ").includes(word);
}

/** @param {HTMLElement} item @param {View} view */
function matches(item, view) {
  if (view.kinds.size > 0 && ![...view.kinds].some((kind) => has(item.dataset.kinds, kind))) return false;
  if (view.tag !== "" && !has(item.dataset.tags, view.tag)) return false;
  const words = view.text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return words.length === 0 || words.every((word) => wordsOf(item).includes(word));
}

/** @param {View} view */
function filter(view) {
  if (shown === null) return;
  let count = 0;
  for (const item of items) {
    item.hidden = !matches(item, view);
    if (!item.hidden) count += 1;
  }
  for (const group of groups) group.hidden = group.querySelector("[data-kinds]:not([hidden])") === null;
  for (const entry of entries) entry.hidden = document.getElementById(entry.dataset.for ?? "")?.hidden ?? false;
  const all = items.length;
  const one = shown.dataset.one ?? "";
  shown.textContent = count === all ? `${all} ${one}${all === 1 ? "" : "s"}` : `${count} of ${all} ${one}s`;
  if (nothing !== null) nothing.hidden = count > 0 || all === 0;
  for (const settle of settleStops) settle();
}

/** @type {Record<string, string> | undefined} */
let onDemand;

/** Details of an agreeing check, made by the report as markup and escaped there. @param {string} place */
function insertDetails(place) {
  onDemand ??= /** @type {Record<string, string>} */ (
    JSON.parse(document.querySelector("#on-demand")?.textContent ?? "{}")
  );
  const markup = Object.hasOwn(onDemand, place) ? onDemand[place] : undefined;
  const step = document.getElementById(place.replace(/\.[^./]*$/, ""));
  if (markup !== undefined) step?.querySelector(".checks")?.insertAdjacentHTML("beforeend", markup);
}

/** Opens whatever hides a place, and shows which cell it belongs to. @param {string} place */
function goTo(place) {
  for (const element of document.querySelectorAll(".check.quiet")) element.remove();
  for (const link of document.querySelectorAll("a[aria-current]")) link.removeAttribute("aria-current");
  // A browser's own return to where one was would undo ours.
  history.scrollRestoration = place === "" ? "auto" : "manual";
  if (place === "") return;
  if (document.getElementById(place) === null) insertDetails(place);
  const target = document.getElementById(place);
  if (target === null) return;
  for (let each = /** @type {Element | null} */ (target); each !== null; each = each.parentElement) {
    if (each instanceof HTMLDetailsElement) each.open = true;
    if (each instanceof HTMLElement && (each.dataset.kinds ?? each.dataset.group) !== undefined) each.hidden = false;
  }
  const group = target.closest(".scenario, figure[data-group]");
  for (const link of document.querySelectorAll(`a[href^="#"]`)) {
    const aim = decode(link.getAttribute("href")?.slice(1) ?? "");
    const listed = aim === group?.id && link.closest(".contents") !== null;
    if (aim === place || listed) link.setAttribute("aria-current", "true");
    if (listed) link.scrollIntoView({ block: "nearest" });
  }
  bringIntoView(target, document.querySelector("main.many") === null ? 0 : 10);
}

/** What is being scrolled to; nothing more once the reader acts. @type {Element | undefined} */
let sought;

/**
 * What is laid out only when it comes near changes its size then, so that there one try is not enough.
 * @param {Element} target @param {number} frames
 */
function bringIntoView(target, frames) {
  sought = target;
  target.scrollIntoView({ block: "nearest" });
  if (frames > 0) requestAnimationFrame(() => sought === target && bringIntoView(target, frames - 1));
}

for (const act of ["pointerdown", "wheel", "keydown"])
  addEventListener(act, () => (sought = undefined), { passive: true });

function fromHash() {
  const view = readHash();
  writeControls(view);
  filter(view);
  goTo(view.place);
}

function fromControls() {
  const view = readControls();
  history.replaceState(null, "", hashOf(view));
  filter(view);
}

/** Links within the page keep the filters; a second click on a chosen cell closes its details. @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest(`a[href^="#"]`) : null;
  if (link === null || link.classList.contains("skip") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const place = decode(link.getAttribute("href")?.slice(1) ?? "");
  const again = link.hasAttribute("aria-current") && link.closest("td") !== null;
  const view = { ...readControls(), place: again ? "" : place };
  history.pushState(null, "", hashOf(view));
  const details = again ? document.getElementById(place) : null;
  if (details instanceof HTMLDetailsElement) details.open = false;
  goTo(view.place);
}

/** @param {HTMLButtonElement} button */
async function copy(button) {
  const code = button.parentElement?.querySelector("code");
  if (!code) return;
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    button.textContent = "Copied";
  } catch {
    // Where the browser gives no clipboard to a file, the selected line is one key away from it.
    getSelection()?.selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

/** Keeps the one stop for the tab key of each table where it can be seen. @type {(() => void)[]} */
const settleStops = [];

/** One stop for the tab key per table, arrows within it. @param {HTMLTableElement} table */
function addArrowKeys(table) {
  const all = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.querySelectorAll("a")]);
  const links = all.flat();
  const seen = () => all.filter(([first]) => first !== undefined && first.closest("[hidden]") === null);
  const enter = (/** @type {HTMLAnchorElement | undefined} */ link) => {
    for (const each of links) each.tabIndex = each === link ? 0 : -1;
  };
  enter(links.find((link) => link.closest(".differs")) ?? links[0]);
  settleStops.push(() => {
    const rows = seen().flat();
    if (!rows.some((link) => link.tabIndex === 0)) enter(rows[0]);
  });
  table.addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLAnchorElement) enter(event.target);
  });
  table.addEventListener("keydown", (event) => {
    const rows = seen();
    const row = rows.findIndex((each) => each.includes(/** @type {HTMLAnchorElement} */ (event.target)));
    const column = rows[row]?.indexOf(/** @type {HTMLAnchorElement} */ (event.target)) ?? -1;
    const moves = /** @type {Record<string, HTMLAnchorElement | undefined>} */ ({
      ArrowUp: rows[row - 1]?.[column],
      ArrowDown: rows[row + 1]?.[column],
      ArrowLeft: rows[row]?.[column - 1],
      ArrowRight: rows[row]?.[column + 1],
      Home: rows[row]?.[0],
      End: rows[row]?.at(-1),
    });
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]?.focus();
  });
}

for (const button of kindButtons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    fromControls();
  });
}
tagSelect?.addEventListener("change", fromControls);
textInput?.addEventListener("input", fromControls);
document.addEventListener("click", (event) => {
  const button = event.target instanceof HTMLButtonElement ? event.target : null;
  if (button?.classList.contains("copy")) void copy(button);
  if (button?.classList.contains("clear")) {
    writeControls({ place: "", kinds: new Set(), tag: "", text: "" });
    fromControls();
  }
  follow(event);
});
document.addEventListener("keydown", (event) => {
  if (textInput === null) return;
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    textInput.focus();
  }
  if (event.key === "Escape" && event.target === textInput) {
    textInput.value = "";
    fromControls();
  }
});
addEventListener("hashchange", fromHash);
addEventListener("popstate", fromHash);
for (const table of document.querySelectorAll(".matrix table")) addArrowKeys(/** @type {HTMLTableElement} */ (table));
const topBar = /** @type {HTMLElement} */ (document.querySelector(".top"));
new ResizeObserver(() => document.documentElement.style.setProperty("--top", `${topBar.offsetHeight}px`)).observe(
  topBar,
);
if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".contents > details")?.removeAttribute("open");
fromHash();
