/** The parts of every page: the bar at the top with verdict, counts and facts, and the table of contents with its filters. */

import type { Status } from "../../harness/model/result.ts";
import { plural } from "../text.ts";
import { html, type Html } from "./escape.ts";
import { sign } from "./marks.ts";

/** Buttons that show only items of one kind; their counts are useful without a script, too. */
export interface KindFilter {
  /** The name of the filter in the page's URL. */
  readonly name: string;
  /** Description of the buttons for a screen reader. */
  readonly label: string;
  /** Kinds without items are left out. */
  readonly kinds: readonly {
    readonly kind: string;
    readonly words: string;
    readonly count: number;
    /** Decides colour and sign. */
    readonly status: Status;
  }[];
}

interface Top {
  /** `meshproof`, `meshproof diff`. */
  readonly product: string;
  readonly status: Status;
  /** False if nothing is right or wrong; default true. */
  readonly signed?: boolean;
  readonly verdict: string;
  readonly filter?: KindFilter;
  readonly facts: readonly (readonly [name: string, value: string | Html])[];
}

export function renderTop({ product, status, signed = true, verdict, filter, facts }: Top): Html {
  return html`<header class="top">
    <h1 class="${status}"><span class="product">${product}</span> ${signed && sign(status)} <span>${verdict}</span></h1>
    ${filter !== undefined && renderKinds(filter)}
    ${
      facts.length > 0 &&
      html`<dl class="versions">
        ${facts.map(
          ([name, value]) =>
            html`<div>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>`,
        )}
      </dl>`
    }
  </header>`;
}

function renderKinds({ name, label, kinds }: KindFilter): Html {
  const present = kinds.filter(({ count }) => count > 0);
  if (present.length === 0) return html``;
  return html`<div class="statuses" role="group" aria-label="${label}" data-filter="${name}">
    ${present.map(
      ({ kind, words, count, status }) =>
        html`<button type="button" class="status ${status}" data-kind="${kind}" aria-pressed="false">
          ${sign(status)}<b>${count}</b> ${words}
        </button>`,
    )}
  </div>`;
}

interface Contents {
  /** Label for a screen reader. */
  readonly label: string;
  /** The filtered items: their singular name and their number. Without it there is no filter. */
  readonly filtered?: { readonly one: string; readonly count: number; readonly tags?: readonly string[] };
  /** `li` elements; one with `data-for` is hidden together with its target. */
  readonly entries: Html | readonly Html[];
}

/** The table of contents with the filters. */
export function renderContents({ label, filtered, entries }: Contents): Html {
  const tags = filtered?.tags ?? [];
  return html`<nav class="contents" aria-label="${label}">
    ${
      filtered !== undefined &&
      html`<div class="filters" role="search">
        <label class="unseen" for="text">Find in names and reasons</label>
        <input id="text" type="search" placeholder="Find in names and reasons" autocomplete="off" spellcheck="false" />
        ${
          tags.length > 0 &&
          html`<label class="unseen" for="tag">Tag</label>
            <select id="tag">
              <option value="">every tag</option>
              ${tags.map((tag) => html`<option value="${tag}">#${tag}</option>`)}
            </select>`
        }
      </div>`
    }
    <details open>
      <summary>
        ${
          filtered === undefined
            ? html`<span>On this page</span>`
            : html`<span class="shown" role="status" aria-live="polite" data-one="${filtered.one}"
                >${plural(filtered.count, filtered.one)}</span
              >`
        }
      </summary>
      <ol>
        ${entries}
      </ol>
    </details>
  </nav>`;
}

/** Shown if no item matches the filter. */
export function renderNothing(one: string): Html {
  return html`<p class="nothing" hidden>
    No ${one} matches. <button type="button" class="clear">Clear the filters</button>
  </p>`;
}

/** A note for browsers without JavaScript. */
export function renderNoScript(what: string): Html {
  return html`<noscript><p class="nothing">${what}</p></noscript>`;
}
