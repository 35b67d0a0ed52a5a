/** Finds secrets in a text. Every search is linear in the text's length, since logs may have many megabytes. */

import { readingsOf, type Place } from "./decode.ts";

/** Replaces a token's third part: header and claims stay, because they explain an answer. */
export const SIGNATURE = "[signature]";
export const SECRET = "[secret]";

export interface Finding {
  readonly place: Place;
  readonly put: typeof SIGNATURE | typeof SECRET;
}

/** How many nested levels of base64 are decoded. */
const DEEPEST = 3;

/**
 * Finds every secret in a text, in order and without overlaps.
 * @param known secrets to find literally, at any place
 */
export function findSecrets(text: string, known: readonly string[], depth = 0): Finding[] {
  const inRun = cached((run) => [...signaturesIn(run), ...(depth < DEEPEST ? blobsIn(run, known, depth) : [])]);
  const found = readingsOf(text).flatMap((reading) =>
    inReading(reading.text, known, inRun).map(({ place, put }) => ({ place: reading.origin(place), put })),
  );
  return joined(found);
}

/** Joins overlapping findings. */
function joined(found: readonly Finding[]): Finding[] {
  const all: Finding[] = [];
  for (const one of found.toSorted((a, b) => a.place[0] - b.place[0] || b.place[1] - a.place[1])) {
    const last = all.at(-1);
    if (last === undefined || one.place[0] >= last.place[1]) all.push(one);
    else if (one.place[1] > last.place[1])
      all[all.length - 1] = { place: [last.place[0], one.place[1]], put: last.put === one.put ? last.put : SECRET };
  }
  return all;
}

/** Caches results per run of characters: most of a text is the same in all of its readings. */
function cached(look: (run: string) => readonly Finding[]): (run: string) => readonly Finding[] {
  const known = new Map<string, readonly Finding[]>();
  return (run) => {
    const found = known.get(run) ?? look(run);
    known.set(run, found);
    return found;
  };
}

function inReading(text: string, known: readonly string[], inRun: (run: string) => readonly Finding[]): Finding[] {
  return [
    ...inRuns(text, inRun),
    ...[...keysInArmour(text), ...membersOfKeys(text), ...namedSecrets(text), ...credentials(text), ...cookies(text)]
      .concat(userInfo(text), literally(text, known))
      .map((place) => ({ place, put: SECRET }) as const),
  ];
}

// ---- tokens and base64

/** Characters of compact tokens and of base64 in both alphabets. */
const RUN = /[A-Za-z0-9+/_.=-]{10,}/g;
/** Base64 of `{"`, `{ `, `{` and a line break, or `{}`: the start of a token's header (RFC 7515, 7.1). */
const OBJECT = /e(?:y[A-DI-L]|w[k-r0-3]|30)/;

/** An escape, whose end must not be taken for the start of base64. */
const ESCAPE_END = /^(?:%(?:25)*[0-9a-f]{2}|\\(?:u[0-9a-f]{4}|x[0-9a-f]{2}|[nrtbf/]))/i;

function inRuns(text: string, inRun: (run: string) => readonly Finding[]): Finding[] {
  return [...text.matchAll(RUN)].flatMap(({ 0: all, index }) => {
    const before = text[index - 1];
    const lead =
      before === "%" || before === "\\" ? (ESCAPE_END.exec(before + all.slice(0, 200))?.[0].length ?? 1) - 1 : 0;
    return inRun(all.slice(lead)).map(({ place: [start, end], put }) => ({
      place: [index + lead + start, index + lead + end] as const,
      put,
    }));
  });
}

/** A part of a token, between dots. */
interface Part {
  readonly start: number;
  readonly text: string;
  /** The decoded text from the start of an object; a name before it, such as `token=`, is ignored. */
  readonly object: string | undefined;
  /** Whether it starts like an object, even if it is short. */
  readonly begins: boolean;
}

function signaturesIn(run: string): Finding[] {
  if (!run.includes(".") || !OBJECT.test(run)) return [];
  const parts: Part[] = [];
  let start = 0;
  for (const text of run.split(".")) {
    parts.push({ start, text, object: objectIn(text), begins: /^[^.]*?[=/]?e(?:y[A-DI-L]|w[k-r0-3]|30)/.test(text) });
    start += text.length + 1;
  }
  const end = run.replace(/\.+$/, "").length;
  for (const [index, { object, begins }] of parts.entries()) {
    const next = parts[index + 1];
    if (next === undefined) break;
    const tail = tailOf(object, begins, next);
    const first = parts[index + tail];
    if (tail > 0 && first !== undefined && first.start < end)
      return [{ place: [first.start, end], put: tail === 1 && /"enc"/.test(object ?? "") ? SECRET : SIGNATURE }];
  }
  return [];
}

/** How many parts after this one the secret starts; 0 if this is not the start of a token. */
function tailOf(object: string | undefined, begins: boolean, next: Part): number {
  if (object === undefined) return begins && next.begins ? 2 : 0;
  if (/"enc"\s*:/.test(object)) return 1; // JWE (RFC 7516, 7.1): a key, a nonce, the text, a tag
  if (next.object !== undefined || next.begins) return 2;
  if (/"(?:alg|typ|kid|jku|jwk|x5c|crit)"\s*:/.test(object)) return 2;
  // Claims and signature of a token without its header.
  return next.text.length >= 16 ? 1 : 0;
}

/** The decoded text of a part from the start of an object; undefined if there is none. */
function objectIn(part: string): string | undefined {
  const found = OBJECT.exec(part);
  if (found === null) return undefined;
  const decoded = Buffer.from(part.slice(found.index), "base64");
  if (decoded.length < 6) return decoded.toString("latin1") === "{}" ? "{}" : undefined;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(decoded.subarray(0, 24), { stream: true });
  } catch {
    return undefined;
  }
  const text = decoded.toString("latin1");
  return /^\{\s*(?:"|\}|$)/.test(text) && !/[\u0000-\u0008\u000e-\u001f]/.test(text.slice(0, 24)) ? text : undefined;
}

const BLOB = /[A-Za-z0-9+/_-]{40,}={0,2}/g;
const HEX = /(?:[0-9a-f]{2}){40,}/gi;
/** PKCS #1, PKCS #8, SEC 1: a private key's DER is a sequence that starts with a version; certificates and public keys do not. */
const PRIVATE_DER = /^0(?:[\u0000-\u007f]|\u0081[^]|\u0082[^]{2})\u0002\u0001[\u0000\u0001][\u0002\u0004\u0030]/;

/** Finds base64 and hexadecimal text that encodes a secret; it is removed as a whole. */
function blobsIn(run: string, known: readonly string[], depth: number): Finding[] {
  if (run.length < 40) return [];
  const hides = (bytes: Buffer): boolean => {
    const text = bytes.toString("latin1");
    if (PRIVATE_DER.test(text)) return true;
    // UTF-16 has a zero byte beside each ASCII letter.
    const plain = text.includes("\u0000") ? text.replaceAll("\u0000", "") : text;
    return /[ -~]{8}/.test(plain) && findSecrets(plain, known, depth + 1).length > 0;
  };
  const found: Finding[] = [];
  for (const { 0: blob, index } of run.matchAll(BLOB))
    // Text before it, such as a path, may be base64 characters too: the blob may start at any of four positions.
    if ([0, 1, 2, 3].some((skipped) => hides(Buffer.from(blob.slice(skipped), "base64"))))
      found.push({ place: [index, index + blob.length], put: SECRET });
  for (const { 0: blob, index } of run.matchAll(HEX))
    if (hides(Buffer.from(blob, "hex"))) found.push({ place: [index, index + blob.length], put: SECRET });
  return found;
}

/** Whether a value contains a token whose header and claims may stay: its signature is found separately. */
function holdsToken(value: string): boolean {
  return readingsOf(value).some(({ text }) => [...text.matchAll(RUN)].some(([run]) => isToken(run)));
}

function isToken(run: string): boolean {
  if (signaturesIn(run).some(({ put }) => put === SIGNATURE)) return true;
  const [header, claims] = run.split(".").map(objectIn);
  return header !== undefined && claims !== undefined; // its signature is gone already
}

// ---- private keys

const KEY_HEAD = /-----BEGIN[ +][A-Z0-9 +]{0,40}PRIVATE[ +]KEY(?:[ +]BLOCK)?-----/g;
const KEY_FOOT = /-----END[ +][A-Z0-9 +]{0,40}PRIVATE[ +]KEY(?:[ +]BLOCK)?-----/g;

/** Finds PEM private keys, also without their header or footer. */
function keysInArmour(text: string): Place[] {
  if (!text.includes("PRIVATE")) return [];
  const heads = [...text.matchAll(KEY_HEAD)].map(({ 0: head, index }): Place => [index, index + head.length]);
  const feet = [...text.matchAll(KEY_FOOT)].map(({ 0: foot, index }): Place => [index, index + foot.length]);
  const places: Place[] = [];
  let foot = 0;
  let done = 0;
  for (const [index, head] of heads.entries()) {
    for (; foot < feet.length && feet[foot]![0] < head[0]; foot++) places.push(beheaded(text, done, feet[foot]!));
    const limit = heads[index + 1]?.[0] ?? text.length;
    const end = feet[foot];
    if (end !== undefined && end[0] < limit) {
      places.push([head[0], end[1]]);
      foot++;
      done = end[1];
    } else {
      const body = /^[A-Za-z0-9+/=\s,:-]*/.exec(text.slice(head[1], limit))?.[0] ?? "";
      done = head[1] + body.trimEnd().length;
      places.push([head[0], done]);
    }
  }
  for (; foot < feet.length; foot++) places.push(beheaded(text, done, feet[foot]!));
  return places;
}

function beheaded(text: string, from: number, [foot, end]: Place): Place {
  let start = foot;
  while (start > from && /[A-Za-z0-9+/=\s]/.test(text[start - 1]!)) start--;
  return [start, end];
}

/** The private members of a JWK (RFC 7518, 6.2.2, 6.3.2 and 6.4.1, RFC 8037); `r`, `d`, `t` are members of `oth`. */
const MEMBER = /(?<![\w.-])(["']?)(?:d|p|q|dp|dq|qi|k|r|t)\1[ \t]*[:=][\s+]*(?:(["'])|(?!\+))([A-Za-z0-9+/_=-]+)/g;
/** Largest distance in characters between a member and its key's `kty`: an 8192-bit key is shorter. */
const KEY_LENGTH = 10_000;

function membersOfKeys(text: string): Place[] {
  const types = [...text.matchAll(/kty/g)].map(({ index }) => index);
  let type = 0;
  const places: Place[] = [];
  for (const match of text.matchAll(MEMBER)) {
    while (type < types.length && types[type]! < match.index - KEY_LENGTH) type++;
    const value = match[3]!;
    const inKey = type < types.length && types[type]! < match.index + KEY_LENGTH;
    if (inKey || (match[1] !== "" && match[2] !== undefined && value.length >= 16)) places.push(last(match, value));
  }
  return places;
}

function last({ 0: all, index }: RegExpExecArray, value: string): Place {
  return [index + all.length - value.length, index + all.length];
}

// ---- names that say that something is secret

/** The separator after a name: `: `, `=`, `": "`, `":["`, and `', '` as in Envoy's headers. */
const TO = String.raw`(?:["'\\]*[ \t]*[:=][ \t+]*(?:\[?[ \t]*["'\\]+)?|', ')`;
/** A value up to its end. The lookahead excludes placeholders and values that were redacted already. */
const VALUE = String.raw`(?![$<{[(*…])([^\s"'\\,;&<>{}[\]()…]+)`;

const SECRET_NAME = new RegExp(
  String.raw`(?:private[-_]?key|(?:client|hmac|token|app)[-_]?secret|secret[-_]?(?:access[-_]?)?key|passw(?:or)?d|passphrase|client-key-data|(?:refresh|access|id|security|session)[-_]?token|api[-_]?key|auth[-_]?key|x-(?:passwd|session-id|amz-(?:signature|credential))|(?<=[?&])(?:pwd|pass|sig|code|key|auth))${TO}${VALUE}`,
  "gi",
);
/** Ambiguous names, and values on the next line: the value is secret only if it does not look like a word. */
const MAYBE_SECRET_NAME = new RegExp(
  String.raw`(?:token|secret|password|key-data|session[-_]?(?:id)?|sid|signature|credential|x-auth)${TO}(?:(?:[|>]-?)?\s+)?${VALUE}`,
  "gi",
);

function namedSecrets(text: string): Place[] {
  const places: Place[] = [];
  for (const match of text.matchAll(SECRET_NAME)) if (!holdsToken(match[1]!)) places.push(last(match, match[1]!));
  for (const match of text.matchAll(MAYBE_SECRET_NAME))
    if (isOpaque(match[1]!, 16) && !holdsToken(match[1]!)) places.push(last(match, match[1]!));
  return places;
}

/** Whether a value does not look like a word. */
function isOpaque(value: string, length: number): boolean {
  return value.length >= length && /\d/.test(value) && /[A-Za-z]/.test(value);
}

const AUTHORIZATION = new RegExp(
  String.raw`(authorization|x-auth[a-z-]{0,30})(${TO})(?:([a-z][\w-]*)((?:[\s+]|%20)+))?${VALUE}`,
  "gi",
);
/** The registered schemes of Authorization, and those of gateways. */
const SCHEME =
  /^(?:bearer|basic|negotiate|ntlm|token|jwt|dpop|gnap|api-?key|privatetoken|vapid|hoba|mutual|concealed)$/i;
/** Schemes whose credentials are a list. */
const LISTED =
  /(?:authorization)["'\\]*[ \t]*[:=][ \t]*(?:\[?[ \t]*["'\\]+)?(?:digest|hawk|oauth|aws4-hmac-sha256|scram-[\w-]+)[ \t]+([^"'\\\r\n]+)/gi;
const BARE_BEARER = /bearer[ \t+]+([A-Za-z0-9._~+/=-]{20,})/gi;
const BARE_BASIC = /basic[ \t+]+([A-Za-z0-9+/_-]{4,}={0,2})/gi;
const CURL_USER = /(?:\s-u|--(?:proxy-)?user)[ \t=]*["']?([^\s"':$]+:[^\s"']+)/g;

const GONE_AFTER = /^(?:[\s+]|%20)*\[s/;

function credentials(text: string): Place[] {
  const places: Place[] = [];
  for (const match of text.matchAll(AUTHORIZATION)) {
    const [, name = "", to = "", scheme, gap = "", value = ""] = match;
    const known = SCHEME.test(scheme ?? "");
    // A scheme whose credentials were redacted already, or that ends the line.
    if (GONE_AFTER.test(text.slice(match.index + match[0].length, match.index + match[0].length + 8))) continue;
    if (!known && gap.includes("\n")) continue;
    const sure = known || (scheme === undefined && /[:=,].*["']/.test(to) && /^authorization$/i.test(name));
    if ((sure || isOpaque(value, 8)) && !holdsToken(value)) places.push(last(match, value));
  }
  for (const match of text.matchAll(LISTED)) places.push(last(match, match[1]!));
  for (const match of text.matchAll(BARE_BEARER))
    if (isOpaque(match[1]!, 20) && !holdsToken(match[1]!)) places.push(last(match, match[1]!));
  for (const match of text.matchAll(BARE_BASIC))
    if (/^[ -~]*:[ -~]*$/.test(Buffer.from(match[1]!, "base64").toString("latin1")))
      places.push(last(match, match[1]!));
  for (const match of text.matchAll(CURL_USER)) places.push(last(match, match[1]!));
  return places;
}

const COOKIES = /cookie["'\\]*[ \t]*[:=][ \t]*(?:\[?[ \t]*["'\\]+)?([^"'\\\r\n]+)/gi;

/** Finds values of cookies that are long enough to be secret. */
function cookies(text: string): Place[] {
  return [...text.matchAll(COOKIES)].flatMap((match) => {
    const [from] = last(match, match[1]!);
    return [...match[1]!.matchAll(/[^=;\s]+=([^;\s]{12,})/g)]
      .filter(([, value]) => !holdsToken(value!))
      .map(({ 0: pair, 1: value, index }): Place => {
        const end = from + index + pair.length;
        return [end - value!.length, end];
      });
  });
}

const USER_INFO = /:\/\/([^\s/?#"'<>\\]+)@/g;

function userInfo(text: string): Place[] {
  return [...text.matchAll(USER_INFO)].map(({ 1: value, index }) => [index + 3, index + 3 + value!.length]);
}

// ---- secrets that are known

/** Finds known secrets, in both alphabets of base64. */
function literally(text: string, known: readonly string[]): Place[] {
  if (known.length === 0) return [];
  const plain = text.replaceAll("+", "-").replaceAll("/", "_");
  return known.flatMap((secret) => {
    const wanted = secret.replaceAll("+", "-").replaceAll("/", "_");
    const places: Place[] = [];
    for (let at = plain.indexOf(wanted); at >= 0; at = plain.indexOf(wanted, at + wanted.length))
      places.push([at, at + wanted.length]);
    return places;
  });
}
