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
