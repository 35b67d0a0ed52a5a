import { visible } from "../../harness/safe/visible.ts";

/** Markup that is safe to put into the page as it is. Only {@link html} and {@link raw} make it. */
export class Html {
  readonly markup: string;
  constructor(markup: string) {
    this.markup = markup;
  }
}

type Part = string | number | Html | undefined | false | readonly Part[];

/**
 * A template whose values are escaped, so that text can only ever be text: for element content and for attribute values in
 * double quotes. Control and direction characters are shown as visible symbols; undefined and false are nothing.
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let markup = "";
  for (const [index, text] of withoutIndentation(strings).entries()) markup += text + render(parts[index]);
  return new Html(markup);
}

const collapsed = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Indentation is for the reader of our source: thousands of times over, it would be a third of the page. */
function withoutIndentation(strings: TemplateStringsArray): readonly string[] {
  const known = collapsed.get(strings);
  if (known !== undefined) return known;
  const result = strings.map((text) => text.replace(/\n\s*/g, "\n"));
  collapsed.set(strings, result);
  return result;
}

/** Marks text of our own (the stylesheet, the script) as markup. Never for anything from a mesh. */
export function raw(markup: string): Html {
  return new Html(markup);
}

/** Text of several lines: line feeds and tabs stay. */
export function lines(text: string): Html {
  return new Html(escape(visible(text.replaceAll("\r\n", "\n"), { lines: true })));
}

function render(part: Part): string {
  if (part === undefined || part === false) return "";
  if (part instanceof Html) return part.markup;
  if (typeof part === "string" || typeof part === "number") return escape(visible(String(part)));
  return part.map(render).join("");
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? "");
}
