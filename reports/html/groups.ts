import { provenBy } from "../groups.ts";
import { html, type Html } from "./escape.ts";

/** A group with its heading; it is hidden if a filter hides all of its scenarios. */
export function renderGroup(name: string, scenarios: readonly Html[]): Html {
  const proven = provenBy(name);
  return html`<section class="group" data-group>
    <header>
      <h2>${name}</h2>
      ${proven !== undefined && html`<p>${proven}</p>`}
    </header>
    ${scenarios}
  </section>`;
}
