/** Removes secrets from text and data. Everything in reports, tickets, diagnostics and on the terminal goes through this module. */

import { findSecrets, SECRET } from "./find.ts";
import { mapTexts } from "./map-texts.ts";

/**
 * Removes private keys, credentials and the signatures of tokens from a text, in any encoding; header and claims of a token
 * stay. Linear in the text's length, and idempotent. Call it before text is cut short.
 * @param known secrets that this process made or read: they are found at any place
 */
export function redact(text: string, known: readonly string[] = []): string {
  const pieces: string[] = [];
  let done = 0;
  for (let start = 0; start < text.length;) {
    const end = endOfPiece(text, start);
    for (const { place, put } of findSecrets(text.slice(start, end), known)) {
      pieces.push(text.slice(done, start + place[0]), put);
      done = start + place[1];
    }
    start = end;
  }
  return done === 0 ? text : pieces.join("") + text.slice(done);
}

/** Size of the pieces in which text is searched: a regular expression overflows the stack on a match of many megabytes. */
const PIECE = 1024 * 1024;

/** The end of a piece of text: between lines that are not wrapped, between entries, or between words. */
function endOfPiece(text: string, start: number): number {
  if (text.length - start <= PIECE) return text.length;
  const piece = text.slice(start, start + PIECE);
  for (const between of [/[^A-Za-z0-9+/_.=%~\\-]\r?\n(?=[^\n]*$)/, /[,\n](?=[^,\n]*$)/, / (?=[^ ]*$)/]) {
    // Search only the end of the piece.
    const tail = piece.slice(-TAIL);
    const found = between.exec(tail);
    if (found !== null) return start + PIECE - tail.length + found.index + found[0].length;
  }
  return start + PIECE;
}

const TAIL = 64 * 1024;

/** Redacts the value of a header or a field, also by its name. */
export function redactNamed(name: string, value: string, known: readonly string[] = []): string {
  const lead = `${name}: `;
  const safe = redact(lead + value, known);
  return safe.startsWith(lead) ? safe.slice(lead.length) : redact(value, known);
}

/**
 * Redacts every text of data, names of fields too. Data is redacted before it is written as JSON, never after: what is removed may
 * reach into an escape, and the rest is not JSON any more.
 * @param known as for {@link redact}
 */
export function redactData<Data>(data: Data, known: readonly string[] = []): Data {
  // The same texts are there again and again.
  const done = new Map<string, string>();
  return mapTexts(data, (text, field) => {
    const key = JSON.stringify([field, text]);
    const safe = done.get(key) ?? (field === undefined ? redact(text, known) : redactNamed(field, text, known));
    done.set(key, safe);
    return safe;
  });
}

/** Envoy's field names of secrets (`private_key` of a TlsCertificate, `token_secret` of OAuth2, …), and other common ones. */
const SECRET_FIELD =
  /^(private_?key|password|token|access_token|refresh_token|client_?secret|hmac_secret|token_secret|client-key-data)$/i;
/** The private members of a JWK (RFC 7518, 6.2.2, 6.3.2 and 6.4.1); `k` is a symmetric key. */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Redacts a config or manifest: removes fields by their names, redacts the text of all others, and parses JSON in strings. */
export function redactValue(value: unknown): unknown {
  if (typeof value === "string") return redactString(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== "object" || value === null) return value;
  const object = value as Record<string, unknown>;
  const isSecret = object["kind"] === "Secret";
  return Object.fromEntries(
    Object.entries(object).map(([key, inner]) => {
      if ("kty" in object && PRIVATE_MEMBERS.includes(key)) return [key, SECRET];
      if (SECRET_FIELD.test(key) || key === "inline_bytes") return [key, SECRET];
      if (isSecret && (key === "data" || key === "stringData")) return [key, SECRET];
      return [key, typeof inner === "string" ? redactNamed(key, redactString(inner)) : redactValue(inner)];
    }),
  );
}

/** A string may be JSON: Istio writes a JWKS into `inline_string`. */
function redactString(text: string): string {
  if (/^\s*[[{]/.test(text)) {
    try {
      return JSON.stringify(redactValue(JSON.parse(text)));
    } catch {
      // It is not JSON.
    }
  }
  return redact(text);
}
