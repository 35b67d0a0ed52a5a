// What the page can do beyond showing: filters and places in its hash, details of agreeing checks, copying, arrow keys.
// @ts-check

/** @typedef {{ place: string, statuses: Set<string>, tag: string, text: string }} View */

const scenarios = /** @type {HTMLDetailsElement[]} */ ([...document.querySelectorAll("details.scenario")]);
const statusButtons = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll("button.status")]);
const tagSelect = /** @type {HTMLSelectElement | null} */ (document.querySelector("#tag"));
const textInput = /** @type {HTMLInputElement} */ (document.querySelector("#text"));
const shown = /** @type {HTMLElement} */ (document.querySelector(".shown"));
const nothing = /** @type {HTMLElement} */ (document.querySelector(".nothing"));
const contents = new Map(
  /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".contents li")]).map((item) => [item.dataset.for, item]),
);

/** @type {WeakMap<Element, string>} */
const found = new WeakMap();

/**
 * The hash: a place, then filters: `#jwt/name/2.5?status=failed,flaky&tag=documented&text=issuer`.
 * @returns {View}
 */
function readHash() {
  const [place = "", query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const filters = new URLSearchParams(query);
  const statuses = (filters.get("status") ?? "").split(",").filter((status) => status !== "");
  return {
    place: decode(place),
    statuses: new Set(statuses),
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
  if (view.statuses.size > 0) filters.set("status", [...view.statuses].join(","));
  if (view.tag !== "") filters.set("tag", view.tag);
  if (view.text !== "") filters.set("text", view.text);
  const query = filters.toString().replaceAll("%2C", ",");
  return `#${encodeURI(view.place)}${query === "" ? "" : `?${query}`}`;
}

/** @returns {View} */
function readControls() {
  const pressed = statusButtons.filter((button) => button.getAttribute("aria-pressed") === "true");
  return {
    place: readHash().place,
    statuses: new Set(pressed.map((button) => button.dataset.status ?? "")),
    tag: tagSelect?.value ?? "",
    text: textInput.value.trim(),
  };
}

/** @param {View} view */
function writeControls(view) {
  for (const button of statusButtons) {
    button.setAttribute("aria-pressed", String(view.statuses.has(button.dataset.status ?? "")));
  }
  if (tagSelect !== null) tagSelect.value = view.tag;
  if (tagSelect?.selectedIndex === -1) tagSelect.value = "";
  if (textInput.value.trim() !== view.text) textInput.value = view.text;
}

/** Names and reasons of a scenario, in lower case. @param {HTMLElement} scenario */
function wordsOf(scenario) {
  const known = found.get(scenario);
  if (known !== undefined) return known;
  const words = [...scenario.querySelectorAll("[data-find]")].map((element) => element.textContent ?? "");
  const text = [...words, scenario.dataset.tags ?? ""].join("\n").toLowerCase();
  found.set(scenario, text);
  return text;
}

/** @param {HTMLElement} scenario @param {View} view */
function matches(scenario, view) {
  const has = (/** @type {string | undefined} */ list, /** @type {string} */ item) =>
    (list ?? "").split(" ").includes(item);
  if (view.statuses.size > 0 && ![...view.statuses].some((status) => has(scenario.dataset.status, status)))
    return false;
  if (view.tag !== "" && !has(scenario.dataset.tags, view.tag)) return false;
  const words = view.text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return words.length === 0 || words.every((word) => wordsOf(scenario).includes(word));
}

/** @param {View} view */
function filter(view) {
  let count = 0;
  for (const scenario of scenarios) {
    const visible = matches(scenario, view);
    scenario.hidden = !visible;
    const item = contents.get(scenario.id);
    if (item !== undefined) item.hidden = !visible;
    if (visible) count += 1;
  }
  const all = scenarios.length;
  shown.textContent = count === all ? `${all} scenario${all === 1 ? "" : "s"}` : `${count} of ${all} scenarios`;
  nothing.hidden = count > 0 || all === 0;
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
  if (place === "") return;
  if (document.getElementById(place) === null) insertDetails(place);
  const target = document.getElementById(place);
  if (target === null) return;
  for (let each = /** @type {Element | null} */ (target); each !== null; each = each.parentElement) {
    if (each instanceof HTMLDetailsElement) each.open = true;
    if (each instanceof HTMLElement && each.classList.contains("scenario")) each.hidden = false;
  }
  const scenario = target.closest(".scenario");
  for (const link of document.querySelectorAll(`a[href^="#"]`)) {
    const aim = decode(link.getAttribute("href")?.slice(1) ?? "");
    const listed = aim === scenario?.id && link.closest(".contents") !== null;
    if (aim === place || listed) link.setAttribute("aria-current", "true");
    if (listed) link.scrollIntoView({ block: "nearest" });
  }
  target.scrollIntoView({ block: "nearest" });
}

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

/** One stop for the tab key per table, arrows within it. @param {HTMLTableElement} table */
function addArrowKeys(table) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.querySelectorAll("a")]);
  const all = rows.flat();
  const enter = (/** @type {HTMLAnchorElement | undefined} */ link) => {
    for (const each of all) each.tabIndex = each === link ? 0 : -1;
  };
  enter(rows.flat().find((link) => link.closest(".differs")) ?? all[0]);
  table.addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLAnchorElement) enter(event.target);
  });
  table.addEventListener("keydown", (event) => {
    const row = rows.findIndex((links) => links.includes(/** @type {HTMLAnchorElement} */ (event.target)));
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

for (const button of statusButtons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    fromControls();
  });
}
tagSelect?.addEventListener("change", fromControls);
textInput.addEventListener("input", fromControls);
document.addEventListener("click", (event) => {
  const button = event.target instanceof HTMLButtonElement ? event.target : null;
  if (button?.classList.contains("copy")) void copy(button);
  if (button?.classList.contains("clear")) {
    writeControls({ place: "", statuses: new Set(), tag: "", text: "" });
    fromControls();
  }
  follow(event);
});
document.addEventListener("keydown", (event) => {
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
