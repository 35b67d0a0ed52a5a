/** Text from a mesh, a file or a cluster is hostile: what could act on a terminal or hide is made visible. */

/** Control, format and direction characters: invisible, or able to move, colour or reorder what stands around them. */
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]|\p{Cs}/gu;

/**
 * Shows characters that a reader could not see, or that would act on a terminal: C0 as control pictures (U+2400 block),
 * all others as `⟨U+202E⟩`. Line feeds and tabs stay where `lines` is true.
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

/** A line that GitHub Actions obeys: `::name` at its beginning, or `##[` (of Azure Pipelines: `##vso[`) anywhere. */
const command = /^(\s*:):|##(?=(?:[a-z]+)?\[)/gim;
/** Colours, and nothing else that a terminal obeys. */
const colour = /\u001b\[[\d;]*m/g;

/**
 * Text that a person reads in a terminal or in a CI system's log: of several lines, every character visible.
 * @param options.ci whether lines that a CI system would obey are broken up
 * @param options.colours whether colours are ours, and stay
 */
export function printable(text: string, options: { ci?: boolean; colours?: boolean } = {}): string {
  const colours = options.colours === true ? [...text.matchAll(colour), ""].map(String) : [""];
  const parts = options.colours === true ? text.split(colour) : [text];
  const safe = parts.map((part, index) => visible(part, { lines: true }) + (colours[index] ?? "")).join("");
  return options.ci === true
    ? safe.replace(command, (_, colon?: string) => (colon === undefined ? "## " : `${colon} :`))
    : safe;
}

/** The same as one line, as a status line and a problem with its place are. */
export function printableLine(text: string, options: { ci?: boolean } = {}): string {
  return printable(visible(text), options);
}
