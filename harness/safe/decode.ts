/** Text as somebody reads it who undoes the ways in which text is written into other text: escapes, percent, line breaks. */

/** A piece of text: from here, to before there. */
export type Place = readonly [start: number, end: number];

/** A reading of a text, which knows where each of its characters comes from. */
export interface Reading {
  readonly text: string;
  /** The place in the original that a place of this reading comes from. */
  origin(place: Place): Place;
}

/**
 * One level, with any number of repetitions: `%252E` is `.` at once, as is `\\\\u002e`. Of an ambiguous text the original is a
 * reading too, so reading too much costs nothing.
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

/** No secret here is written in anything but ASCII: other characters may stay as they are written. */
function characterOf(match: RegExpExecArray): string | undefined {
  const hex = match[1] ?? match[2] ?? match[3] ?? match[6];
  const name = (match[4] ?? match[7])?.toLowerCase();
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(match[5] ?? Number.NaN);
  if (name !== undefined) return NAMED[name] ?? name;
  return code < 0x80 ? String.fromCharCode(code) : undefined;
}

/** So often one way of writing is undone within another. Real text has two or three. */
const MOST_READINGS = 12;

/** The text itself, and everything that it says once it is decoded. */
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

/** @returns undefined where nothing is written in another way */
function decode(text: string): Reading | undefined {
  if (!/[%\\&]/.test(text)) return undefined;
  const rewriting = new Rewriting(text);
  for (const match of text.matchAll(WRITTEN)) {
    const character = characterOf(match);
    if (character !== undefined) rewriting.replace(match.index, match.index + match[0].length, character);
  }
  return rewriting.finish();
}

/** A line that ends in so many characters of base64 may have been broken. */
const BROKEN_AFTER = 24;
/** So short a rest of a line is joined only where it is the whole line. */
const SHORT_REST = 12;
const DENSE = /[A-Za-z0-9+/_.=%~-]/;
/** Programs wrap text at these columns. Two lines of the same length were wrapped as well, unless they are short. */
const WIDTHS = [60, 64, 70, 72, 75, 76, 77, 78, 79, 80];
const WRAPPED_AFTER = 40;
/** What begins a line of its own: a time, a token, an armour. */
const OWN_LINE = /^(?:\d{4}-\d\d-\d\d|ey[A-DI-L]|-----)/;

/** A line break, and a blank line after it, as YAML folds a quoted string; and as JSON writes it. */
const BREAK = /(?:\r|(?<!\\)\\+r)?\n(?:[ \t]*\r?\n)?/g;
const WRITTEN_BREAK = /(?<!\\)(?:\\+r)?\\+n/g;

/**
 * The text without the line breaks within tokens and base64: as `base64` wraps at 76 columns, as YAML folds, as mail
 * (`=` at the end, `>` at the beginning) and a shell (`\` at the end) do.
 * @returns undefined where no line was broken
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
    // `name: value` is a line of its own.
    const alone = rest - end >= SHORT_REST ? text[rest] !== ":" : /["'\\\s,;}\]]/.test(text[rest] ?? "\n");
    const joins = continued || wrapped || (rest > end && alone);
    const gap = dense < BROKEN_AFTER && text.slice(line, end) === " " ? " " : "";
    if (joins && !OWN_LINE.test(text.slice(end, end + 10))) rewriting.replace(start, end, gap);
  }
  return rewriting.finish();
}

/** Builds a text out of another, piece by piece, and remembers what came from where. */
class Rewriting {
  readonly #source: string;
  readonly #pieces: string[] = [];
  /** Where each piece begins in the new text and in the source, and where it ends in the source. */
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

  /** Where a character comes from. */
  #sourceOf(position: number): Place {
    let low = 0;
    for (let high = this.#at.length - 1; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#at[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    const [at, from, to] = [this.#at[low]!, this.#from[low]!, this.#to[low]!];
    const length = (this.#at[low + 1] ?? this.#length) - at;
    // Only a piece that was copied is as long as what it came from, and then each character has one of its own.
    return to - from === length ? [from + position - at, from + position - at + 1] : [from, to];
  }
}
