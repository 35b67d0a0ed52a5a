/** The words as a person types them into a shell: quoted where it needs that. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w./@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
