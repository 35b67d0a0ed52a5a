import { visible } from "../../harness/safe/visible.ts";

/** Markup that is safe to put into the page unchanged. Only {@link html} and {@link raw} create it. */
export class Html {
  readonly markup: string;
  constructor(markup: string) {
    this.markup = markup;
  }
}

type Part = string | number | Html | undefined | false | readonly Part[];

/**
 * A template whose values are escaped, for element content and for attribute values in double quotes. Control and direction
 * characters are shown as visible symbols; undefined and false become empty.
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let markup = "";
  for (const [index, text] of withoutIndentation(strings).entries()) markup += text + render(parts[index]);
  return new Html(markup);
}

const collapsed = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Removes the source's indentation, which would otherwise be a third of the page. */
function withoutIndentation(strings: TemplateStringsArray): readonly string[] {
  const known = collapsed.get(strings);
  if (known !== undefined) return known;
  const result = strings.map((text) => text.replace(/\n\s*/g, "\n"));
  collapsed.set(strings, result);
  return result;
}

/** Marks meshproof's own text (the stylesheet, the script) as markup. Never use it for text from a mesh. */
export function raw(markup: string): Html {
  return new Html(markup);
}

/** Multi-line text: line feeds and tabs stay. */
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
