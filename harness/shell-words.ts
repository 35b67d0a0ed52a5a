/** The words as a person types them into a shell: quoted where it needs that. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w./@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
