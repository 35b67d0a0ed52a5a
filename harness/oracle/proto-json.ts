/**
 * Reads JSON like Protobuf (json/internal/lexer.cc with `allow_legacy_syntax`), by which Envoy reads the parts of a token. It accepts
 * single quotes, names without quotes, trailing commas and control characters; it refuses a name that occurs twice, half a surrogate
 * pair, a number that no double holds, and more than a hundred levels. `null` is an empty object. Measured with Envoy 1.40.0.
 */

import type { Tree } from "./tree.ts";

const DEPTH = 100;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const BARE = /[A-Za-z_]\w*/y;
const SPACE = /[ \t\r\n]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '"': '"', "'": "'", "\\": "\\", "/": "/" },
  ...{ b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" },
};
const WORDS: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null };

/** The object, or undefined where Envoy reads none. */
export function parseProtoJson(bytes: Buffer): Tree | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value = new Reader(text).document() ?? {};
    return typeof value === "object" && !Array.isArray(value) ? (value as Tree) : undefined;
  } catch {
    return undefined;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
    const value = this.#value();
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw new SyntaxError();
    return value;
  }

  /** The text that matches here; it may be empty. */
  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ""] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }

  #peek(): string | undefined {
    this.#take(SPACE);
    return this.#text[this.#at];
  }

  #expect(character: string): void {
    if (this.#peek() !== character) throw new SyntaxError();
    this.#at++;
  }

  #value(): unknown {
    const first = this.#peek();
    if (first === "{") return this.#nested(() => this.#object());
    if (first === "[") return this.#nested(() => this.#array());
    if (first === '"' || first === "'") return this.#string(first);
    const number = this.#take(NUMBER);
    if (number !== "") {
      // `01` and `1.` are not two tokens.
      if (!Number.isFinite(Number(number)) || /[\w.+-]/.test(this.#text[this.#at] ?? "")) throw new SyntaxError();
      return Number(number);
    }
    const word = this.#take(BARE);
    if (!Object.hasOwn(WORDS, word)) throw new SyntaxError();
    return WORDS[word];
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > DEPTH) throw new RangeError();
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): unknown {
    const found = new Map<string, unknown>();
    while (this.#peek() !== "}") {
      const quote = this.#peek();
      const quoted = quote === '"' || quote === "'";
      const name = quoted ? this.#string(quote) : this.#take(BARE);
      if ((!quoted && (name === "" || Object.hasOwn(WORDS, name))) || found.has(name)) throw new SyntaxError();
      this.#expect(":");
      found.set(name, this.#value());
      if (this.#peek() === ",") this.#at++;
      else break;
    }
    this.#expect("}");
    return Object.fromEntries(found);
  }

  #array(): unknown {
    const found: unknown[] = [];
    while (this.#peek() !== "]") {
      found.push(this.#value());
      if (this.#peek() === ",") this.#at++;
      else break;
    }
    this.#expect("]");
    return found;
  }

  #string(quote: string): string {
    let text = "";
    for (this.#at++; ; this.#at++) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new SyntaxError();
      if (character === quote) break;
      text += character === "\\" ? this.#escape() : character;
    }
    this.#at++;
    if (!text.isWellFormed()) throw new SyntaxError();
    return text;
  }

  #escape(): string {
    const character = this.#text[++this.#at] ?? "";
    if (character !== "u" && character !== "U") {
      if (!Object.hasOwn(ESCAPES, character)) throw new SyntaxError();
      return ESCAPES[character]!;
    }
    const hex = this.#text.slice(this.#at + 1, this.#at + 5);
    if (!/^[0-9a-f]{4}$/i.test(hex)) throw new SyntaxError();
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }
}
