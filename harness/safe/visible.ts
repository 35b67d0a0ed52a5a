/** Makes hostile text from a mesh, a file or a cluster safe to show: control and invisible characters become visible. */

/** Control, format and direction characters: invisible, or able to move, colour or reorder the text around them. */
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]|\p{Cs}/gu;

/**
 * Shows characters that are invisible or control a terminal: C0 as control pictures (U+2400 block), all others as
 * `⟨U+202E⟩`. Line feeds and tabs stay if `lines` is true.
 */
export function visible(text: string, options: { lines?: boolean } = {}): string {
  return text.replace(invisible, (character) => {
    if (options.lines === true && (character === "\n" || character === "\t")) return character;
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** Workflow commands of GitHub Actions: `::name` at the start of a line, or `##[` (Azure Pipelines: `##vso[`) anywhere. */
const command = /^(\s*:):|##(?=(?:[a-z]+)?\[)/gim;
/** Colour sequences, and no other terminal sequences. */
const colour = /\u001b\[[\d;]*m/g;

/**
 * Multi-line text for a terminal or a CI system's log, with every character visible.
 * @param options.ci whether to break up workflow commands of CI systems
 * @param options.colours whether colour sequences are meshproof's own, and stay
 */
export function printable(text: string, options: { ci?: boolean; colours?: boolean } = {}): string {
  const colours = options.colours === true ? [...text.matchAll(colour), ""].map(String) : [""];
  const parts = options.colours === true ? text.split(colour) : [text];
  const safe = parts.map((part, index) => visible(part, { lines: true }) + (colours[index] ?? "")).join("");
  return options.ci === true
    ? safe.replace(command, (_, colon?: string) => (colon === undefined ? "## " : `${colon} :`))
    : safe;
}

/** Like {@link printable}, for a single line. */
export function printableLine(text: string, options: { ci?: boolean } = {}): string {
  return printable(visible(text), options);
}
