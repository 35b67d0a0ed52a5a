/** Text from the mesh is hostile: these functions make it safe to show. What is safe to put into HTML, XML or Markdown is each format's own business. */

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

/** Cuts text to so many bytes of UTF-8, never within a character, and says how much there was. */
export function cut(text: string, bytes: number): string {
  if (text.length <= bytes && Buffer.byteLength(text) <= bytes) return text;
  const head = Buffer.from(text.slice(0, bytes)).subarray(0, bytes);
  const kept = new TextDecoder("utf-8", { ignoreBOM: true }).decode(head, { stream: true });
  return `${kept}… (cut: ${formatBytes(bytes)} of ${formatBytes(Buffer.byteLength(text))})`;
}

/** `512 B`, `2 KiB`, `10.0 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : [bytes / 1024 ** 2, "MiB"];
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`;
}

/** Milliseconds for people: `12 ms`, `0.42 s`, `3.1 s`, `2 min 5 s`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  if (ms < 100) return `${Math.round(ms)} ms`;
  if (ms < 995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `1 check`, `2 checks`, `2 proxies`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A compact JWS (RFC 7515, 3.1): the first part is base64url of a JSON object, so it begins with `eyJ` or, with white space, nearly so. */
const compactToken = /\b((?:ey[ABIJ]|ew[0o])[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*)\.[A-Za-z0-9_-]+/g;
const privatePem = /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g;
/** Private members of a JWK (RFC 7518, 6.2.2, 6.3.2, 6.4.1), in JSON or in JSON within a quoted string. */
const privateMember = /(\\?")(d|p|q|dp|dq|qi|k)\1(\s*:\s*)\1[A-Za-z0-9_-]{16,}(?:\1|={0,2}\1|$)/g;

/** Takes token signatures and private keys out of any text: a workload may echo what it was sent, and an HMAC key stands in its JWKS. */
export function removeSecrets(text: string): string {
  let safe = text.replace(compactToken, "$1.(signature removed)").replace(privatePem, "($1 removed)");
  if (safe.includes("kty")) safe = safe.replace(privateMember, "$1$2$1$3$1(removed)$1");
  return safe;
}
