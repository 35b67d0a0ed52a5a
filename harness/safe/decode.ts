/** Decodes the ways in which a text is written into another text: escapes, percent encoding, line breaks. */

/** A piece of text: start, and end (exclusive). */
export type Place = readonly [start: number, end: number];

/** A decoded text that maps each character to its place in the original. */
export interface Reading {
  readonly text: string;
  /** Maps a place in this reading to the place in the original. */
  origin(place: Place): Place;
}

/**
 * One level of encoding, with any number of repetitions: `%252E` is decoded to `.` at once, and so is `\\\\u002e`. The original
 * is always searched too, so decoding too much hides nothing.
 */
const WRITTEN =
  /%(?:25)*([0-9a-f]{2})|\\+(?:u\{?0{0,4}([0-9a-f]{2})\}?|x([0-9a-f]{2})|([nrtbf/"'\\]))|&(?:amp;)*(?:#(\d{1,3});|#x0*([0-9a-f]{2});|(quot|apos|amp|lt|gt|sol|period|equals|colon);)/gi;

const NAMED: Readonly<Record<string, string>> = {
  quot: '"',
  apos: "'",
  amp: "&",
  lt: "<",
  gt: ">",
  sol: "/",
  period: ".",
  equals: "=",
  colon: ":",
  n: "\n",
  r: "\r",
  t: "\t",
  b: " ",
  f: " ",
};

/** Decodes ASCII characters only, since all secrets are ASCII; others stay encoded. */
function characterOf(match: RegExpExecArray): string | undefined {
  const hex = match[1] ?? match[2] ?? match[3] ?? match[6];
  const name = (match[4] ?? match[7])?.toLowerCase();
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(match[5] ?? Number.NaN);
  if (name !== undefined) return NAMED[name] ?? name;
  return code < 0x80 ? String.fromCharCode(code) : undefined;
}

/** How many nested encodings are decoded. Real text has two or three. */
const MOST_READINGS = 12;

/** Returns the text itself and every decoded form of it. */
export function readingsOf(text: string): Reading[] {
  const found: Reading[] = [{ text, origin: (place) => place }];
  const known = new Set([text]);
  for (let next = 0; next < found.length && found.length < MOST_READINGS; next++) {
    const from = found[next]!;
    for (const step of [decode(from.text), unfold(from.text, BREAK), unfold(from.text, WRITTEN_BREAK)]) {
      if (step === undefined || known.has(step.text)) continue;
      known.add(step.text);
      found.push({ text: step.text, origin: (place) => from.origin(step.origin(place)) });
    }
  }
  return found;
}

/** @returns undefined if nothing is encoded */
function decode(text: string): Reading | undefined {
  if (!/[%\\&]/.test(text)) return undefined;
  const rewriting = new Rewriting(text);
  for (const match of text.matchAll(WRITTEN)) {
    const character = characterOf(match);
    if (character !== undefined) rewriting.replace(match.index, match.index + match[0].length, character);
  }
  return rewriting.finish();
}

/** A line that ends with at least this many characters of base64 may have been wrapped. */
const BROKEN_AFTER = 24;
/** A shorter rest is joined only if it is the whole line. */
const SHORT_REST = 12;
const DENSE = /[A-Za-z0-9+/_.=%~-]/;
/** Columns at which programs wrap text. Two long lines of the same length count as wrapped, too. */
const WIDTHS = [60, 64, 70, 72, 75, 76, 77, 78, 79, 80];
const WRAPPED_AFTER = 40;
/** The start of a new entry, which is not joined to the line before: a time, a token, a PEM header. */
const OWN_LINE = /^(?:\d{4}-\d\d-\d\d|ey[A-DI-L]|-----)/;

/** A line break, with a blank line after it as in YAML's folded quoted strings, also in JSON's notation. */
const BREAK = /(?:\r|(?<!\\)\\+r)?\n(?:[ \t]*\r?\n)?/g;
const WRITTEN_BREAK = /(?<!\\)(?:\\+r)?\\+n/g;

/**
 * Removes line breaks inside tokens and base64: wrapped by `base64` at 76 columns, folded by YAML, or wrapped by mail
 * (`=` at the end, `>` at the start) or a shell (`\` at the end).
 * @returns undefined if there are none
 */
function unfold(text: string, pattern: RegExp): Reading | undefined {
  const breaks = [...text.matchAll(pattern)];
  const rewriting = new Rewriting(text);
  let before = -1;
  let line = 0;
  for (const [number, { 0: feed, index }] of breaks.entries()) {
    let start = index;
    const length = start - line;
    line = index + feed.length;
    const after = (breaks[number + 1]?.index ?? text.length) - line;
    const wrapped = length >= WRAPPED_AFTER && (length === before || length === after || WIDTHS.includes(length));
    before = length;
    const continued = text[start - 1] === "\\" && feed.startsWith("\n");
    if (continued || text[start - 1] === "=") start--;
    let dense = 0;
    while (dense < BROKEN_AFTER && DENSE.test(text[start - 1 - dense] ?? "")) dense++;
    if (!continued && !wrapped && dense < BROKEN_AFTER) continue;
    let end = line;
    while (/[ \t>]/.test(text[end] ?? "")) end++;
    let rest = end;
    while (DENSE.test(text[rest] ?? "")) rest++;
    // `name: value` is not joined to the line before.
    const alone = rest - end >= SHORT_REST ? text[rest] !== ":" : /["'\\\s,;}\]]/.test(text[rest] ?? "\n");
    const joins = continued || wrapped || (rest > end && alone);
    const gap = dense < BROKEN_AFTER && text.slice(line, end) === " " ? " " : "";
    if (joins && !OWN_LINE.test(text.slice(end, end + 10))) rewriting.replace(start, end, gap);
  }
  return rewriting.finish();
}

/** Builds a text from another one, piece by piece, and records where each piece came from. */
class Rewriting {
  readonly #source: string;
  readonly #pieces: string[] = [];
  /** The start of each piece in the new text. */
  readonly #at: number[] = [];
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  #length = 0;
  #done = 0;
  #changed = false;

  constructor(source: string) {
    this.#source = source;
  }

  /** @param put a character, or nothing */
  replace(start: number, end: number, put: string): void {
    this.#add(this.#source.slice(this.#done, start), this.#done, start);
    this.#add(put, start, end);
    this.#done = end;
    this.#changed = true;
  }

  finish(): Reading | undefined {
    if (!this.#changed) return undefined;
    this.#add(this.#source.slice(this.#done), this.#done, this.#source.length);
    return {
      text: this.#pieces.join(""),
      origin: ([start, end]) => [this.#sourceOf(start)[0], this.#sourceOf(end - 1)[1]],
    };
  }

  #add(piece: string, from: number, to: number): void {
    if (piece === "") return;
    this.#pieces.push(piece);
    this.#at.push(this.#length);
    this.#from.push(from);
    this.#to.push(to);
    this.#length += piece.length;
  }

  /** The place in the source of a character. */
  #sourceOf(position: number): Place {
    let low = 0;
    for (let high = this.#at.length - 1; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#at[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    const [at, from, to] = [this.#at[low]!, this.#from[low]!, this.#to[low]!];
    const length = (this.#at[low + 1] ?? this.#length) - at;
    // A piece of the same length was copied, and then each character maps to one character.
    return to - from === length ? [from + position - at, from + position - at + 1] : [from, to];
  }
}
