/** Takes secrets out of what is kept of a cluster: configs, manifests, logs. Two ways, since either alone misses something. */

import { redactTokens } from "../tokens/redact.ts";

const GONE = "[secret]";

/** Envoy's names for secrets (`private_key` of a TlsCertificate, `token_secret` of OAuth2, …), and what people call theirs. */
const SECRET_FIELD =
  /^(private_?key|password|token|access_token|refresh_token|client_secret|hmac_secret|token_secret)$/i;
/** RFC 7518, 6.2.2, 6.3.2 and 6.4.1: the private members of a JWK; `k` is a symmetric key. */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** A config or manifest without private keys: whole fields by their names, JWKs wherever they are, also within strings. */
export function redactValue(value: unknown): unknown {
  if (typeof value === "string") return redactString(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== "object" || value === null) return value;
  const object = value as Record<string, unknown>;
  const isSecret = object["kind"] === "Secret";
  return Object.fromEntries(
    Object.entries(object).map(([key, inner]) => {
      if ("kty" in object && PRIVATE_MEMBERS.includes(key)) return [key, GONE];
      if (SECRET_FIELD.test(key) || key === "inline_bytes") return [key, GONE];
      if (isSecret && (key === "data" || key === "stringData")) return [key, GONE];
      return [key, redactValue(inner)];
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
  return redactText(text);
}

const PEM = /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g;
/** A private member of a JWK in text, however deep its quotes are escaped. */
const MEMBER = /((\\*")(?:d|p|q|dp|dq|qi|k)\2\s*:\s*\2)[A-Za-z0-9_=-]{8,}/g;
const BEARER = /(\bauthorization\b["']?\s*[:=]\s*["']?\s*\w+\s+)[^\s"',]+/gi;

/** Text without private keys and without the signature of any token. */
export function redactText(text: string): string {
  return redactTokens(text.replace(PEM, GONE).replace(MEMBER, `$1${GONE}`)).replace(BEARER, (all, before: string) =>
    /eyJ/.test(all) ? all : `${before}${GONE}`,
  );
}
