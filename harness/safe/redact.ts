/** The one place that takes secrets out of text and data: whatever a report, a ticket, diagnostics or a terminal shows went through it. */

import { findSecrets, SECRET } from "./find.ts";

/**
 * Text without private keys, credentials and the signature of any token, however they are written into it; header and claims
 * of a token stay. Linear in the text's length; doing it twice changes nothing. Do it before text is cut short.
 * @param known secrets that this process made or read: found wherever they are
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

/** Regular expressions overflow their stack where a match is many megabytes long. */
const PIECE = 1024 * 1024;

/** Where a piece of text may end: between lines of which the first was not broken, between entries, between words. */
function endOfPiece(text: string, start: number): number {
  if (text.length - start <= PIECE) return text.length;
  const piece = text.slice(start, start + PIECE);
  for (const between of [/[^A-Za-z0-9+/_.=%~\\-]\r?\n(?=[^\n]*$)/, /[,\n](?=[^,\n]*$)/, / (?=[^ ]*$)/]) {
    // Looked for in the end alone, so that the rest need not be looked at.
    const tail = piece.slice(-TAIL);
    const found = between.exec(tail);
    if (found !== null) return start + PIECE - tail.length + found.index + found[0].length;
  }
  return start + PIECE;
}

const TAIL = 64 * 1024;

/** The value of a header or a field, whose name may say that it is secret. */
export function redactNamed(name: string, value: string): string {
  const lead = `${name}: `;
  const safe = redact(lead + value);
  return safe.startsWith(lead) ? safe.slice(lead.length) : redact(value);
}

/** Envoy's names for secrets (`private_key` of a TlsCertificate, `token_secret` of OAuth2, …), and what people call theirs. */
const SECRET_FIELD =
  /^(private_?key|password|token|access_token|refresh_token|client_?secret|hmac_secret|token_secret|client-key-data)$/i;
/** RFC 7518, 6.2.2, 6.3.2 and 6.4.1: the private members of a JWK; `k` is a symmetric key. */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** A config or manifest without secrets: whole fields by their names, the text of all others redacted, JSON in it read as such. */
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

/** A string may be JSON itself: Istio puts a JWKS into `inline_string`. */
function redactString(text: string): string {
  if (/^\s*[[{]/.test(text)) {
    try {
      return JSON.stringify(redactValue(JSON.parse(text)));
    } catch {
      // No JSON after all.
    }
  }
  return redact(text);
}
